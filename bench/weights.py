"""Random HunyuanVideo 1.5 weights in the layout of ComfyUI's models folder: `python -m bench.weights FOLDER`.

Pictures made with them are noise; what the models cost in time and memory does not depend on the values. --full has the
published files' widths and depths, and so their sizes (21 GB for the default set). --tiny (the default) runs on a CPU
in seconds; ComfyUI loads it with bench/tiny_hunyuan in its custom_nodes/.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench import layouts, safetensors
from bench.safetensors import Tensor
from worker import catalogue
from worker.catalogue import MODEL_SETS, PRESETS
from worker.errors import ConfigError

Arguments = Mapping[str, Any]
STREAMS = 3  # files written at once: one alone does not keep a disk busy

LAYOUTS: dict[str, tuple[str, Arguments]] = {
    "sigclip_vision_patch14_384.safetensors": ("siglip", {}),
    "qwen_2.5_vl_7b_fp8_scaled.safetensors": ("qwen", {}),
    "byt5_small_glyphxl_fp16.safetensors": ("byt5", {}),
    "hunyuanvideo15_vae_fp16.safetensors": ("vae", {}),
    "hunyuanvideo15_latent_upsampler_1080p.safetensors": ("upsampler", {}),
    "hunyuanvideo15_latent_upsampler_720p.safetensors": ("upsampler_of_few_stages", {}),
    "rife_v4.26.safetensors": ("rife", {}),
    PRESETS["balanced"].model: ("transformer", {"inputs": 65, "average_velocity": False}),
    PRESETS["fast"].model: ("transformer", {"inputs": 65, "average_velocity": True}),
    **{
        upscale.model: ("transformer", {"inputs": 98, "average_velocity": True})
        for upscale in catalogue.UPSCALES.values()
    },
}
"""The function of `layouts` that makes a file's tensors, and its arguments beside the sizes."""

FULL: dict[str, Arguments] = {
    "transformer": {"width": 2048, "blocks": 54, "text": 3584},
    "qwen": {"width": 3584, "layers": 28, "heads": 28, "groups": 4, "mlp": 18_944, "eye_layers": 32},
    "byt5": {"layers": 12, "heads": 6, "mlp": 3584},
    "siglip": {"layers": 27, "mlp": 4304, "pooling": True},
    "vae": {"channels": (128, 256, 512, 1024, 1024)},
    "upsampler": {"channels": (256, 512)},
    "upsampler_of_few_stages": {"width": 128, "blocks": 16},
    "rife": {"channels": (192, 128, 96, 64, 32)},
}
# As small as ComfyUI takes them: it reads Qwen's third last layer and SigLIP's second last.
TINY: dict[str, Arguments] = {
    "transformer": {"width": 128, "blocks": 2, "text": 32},
    "qwen": {"width": 32, "layers": 4, "heads": 2, "groups": 1, "mlp": 64, "eye_layers": 0},
    "byt5": {"layers": 2, "heads": 1, "mlp": 64},
    "siglip": {"layers": 2, "mlp": 64, "pooling": False},
    "vae": {"channels": (16, 32, 64, 64, 64)},
    "upsampler": {"channels": (32, 64)},
    "upsampler_of_few_stages": {"width": 32, "blocks": 2},
    "rife": {"channels": (16, 16, 16, 8, 8)},
}
SIZES = {"tiny": TINY, "full": FULL}


def layout(size: str, sets: Sequence[str]) -> dict[Path, list[Tensor]]:
    """The tensors of each file of the catalogue's sets, in a size of SIZES."""
    made = {}
    for model in catalogue.load(sets, {}):
        kind, more = LAYOUTS[model.name]
        made[model.path] = list(getattr(layouts, kind)(**SIZES[size][kind], **more))
    return made


def write_all(folder: Path, size: str, sets: Sequence[str], seed: int = 0) -> dict[Path, int]:
    """Write the files of the sets below `folder`, but those that are there; returns each one's bytes."""
    files = layout(size, sets)

    def write(file: Path) -> int:
        size = safetensors.size(files[file])
        if (folder / file).exists() and (folder / file).stat().st_size == size:
            return size
        return safetensors.write(folder / file, files[file], seed)

    with ThreadPoolExecutor(STREAMS) as pool:
        return dict(zip(files, pool.map(write, files), strict=True))


def write_lora(folder: Path, size: str, seed: int = 0) -> None:
    """Write a LoRA of the diffusion model below a models folder."""
    safetensors.write(folder / "loras" / "random.safetensors", layouts.lora(**SIZES[size]["transformer"]), seed)


def write_checkpoint(folder: Path) -> None:
    """Write a checkpoint of no model, to be listed."""
    safetensors.write(folder / "checkpoints" / "random.safetensors", [Tensor("nothing", "F16", (1,))], 0)


def main() -> None:
    """Write the files and tell their sizes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=Path, help="ComfyUI's models folder, or one like it")
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--tiny", dest="size", action="store_const", const="tiny", default="tiny", help="the default")
    sizes.add_argument("--full", dest="size", action="store_const", const="full", help="the published files' sizes")
    parser.add_argument("--sets", default=",".join(MODEL_SETS), help="of worker/catalogue.toml; default: all")
    parser.add_argument("--seed", type=int, default=0, help="the same one gives the same files")
    options = parser.parse_args()
    began = time.monotonic()
    try:
        written = write_all(options.folder, options.size, options.sets.split(","), options.seed)
    except ConfigError as error:
        parser.error(error.message)
    for file, size in written.items():
        print(f"{size:>14,} bytes  {file}")
    print(f"in {time.monotonic() - began:.1f} s, below {options.folder}")


if __name__ == "__main__":
    main()
