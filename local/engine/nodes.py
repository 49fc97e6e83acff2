"""What each node class does: HunyuanVideo's graph on descriptions instead of tensors, and nodes that shape pictures.

A function takes the node's inputs by name and returns its outputs in slot order; savers are in savers.py.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from local.engine import pictures, savers
from local.engine.pictures import Batch, Latent, develop, empty_latent
from local.engine.savers import Video, frame_rate
from local.engine.workbench import Workbench

Outputs = tuple[Any, ...]


@dataclass(frozen=True)
class Conditioning:
    """A text prompt."""

    text: str


def load_image(bench: Workbench, *, image: str) -> Outputs:
    """The picture, and no mask."""
    return pictures.load(bench.folders.locate(image)), None


def load_model(_bench: Workbench, **names: str) -> Outputs:
    """A model stands for itself by its file names: there is none."""
    return (names,)


def pass_model(_bench: Workbench, *, model: Any, **_settings: Any) -> Outputs:
    """Settings of a model that is not there."""
    return (model,)


def encode_text(_bench: Workbench, *, clip: Any, text: str) -> Outputs:
    """The text prompt."""
    return (Conditioning(text),)


def encode_picture(_bench: Workbench, *, clip_vision: Any, image: Batch, crop: str) -> Outputs:
    """The picture a vision model would describe."""
    return (image,)


def prepare_video(
    _bench: Workbench,
    *,
    positive: Conditioning,
    negative: Conditioning,
    vae: Any,
    width: int,
    height: int,
    length: int,
    batch_size: int,
    start_image: Batch | None = None,
    clip_vision_output: Any = None,
) -> Outputs:
    """positive, negative and the empty latent."""
    picture = start_image.draw(0) if start_image else None
    return positive, negative, empty_latent(width, height, length, batch_size, picture)


def prepare_super_resolution(
    _bench: Workbench, *, positive: Conditioning, negative: Conditioning, latent: Latent, **_others: Any
) -> Outputs:
    """positive, negative and the latent, whose size is already the wanted one."""
    return positive, negative, latent


def upscale_latent(
    _bench: Workbench, *, model: Any, samples: Latent, upscale_method: str, width: int, height: int, crop: str
) -> Outputs:
    """The latent at another size, its sides floored to 16."""
    return (dataclasses.replace(samples, width=width // 16 * 16, height=height // 16 * 16),)


def guide(_bench: Workbench, *, positive: Conditioning, **_others: Any) -> Outputs:
    """What the sampler is led by: the positive text."""
    return (positive,)


def schedule(_bench: Workbench, *, steps: int, denoise: float, **_others: Any) -> Outputs:
    """Sigmas are their number here."""
    return (steps if denoise > 0 else 0,)


def split_schedule(_bench: Workbench, *, sigmas: int, step: int) -> Outputs:
    """The steps up to `step`, and those behind it."""
    return min(step, sigmas), max(sigmas - step, 0)


def choose_sampler(_bench: Workbench, *, sampler_name: str) -> Outputs:
    """The sampler's name."""
    return (sampler_name,)


def seed_noise(_bench: Workbench, *, noise_seed: int) -> Outputs:
    """Noise is its seed."""
    return (noise_seed,)


def add_no_noise(_bench: Workbench) -> Outputs:
    """No seed: what is sampled stays what it is."""
    return (None,)


def sample(
    bench: Workbench, *, noise: int | None, guider: Conditioning, sampler: str, sigmas: int, latent_image: Latent
) -> Outputs:
    """The sampled latent, twice: as it is and denoised."""
    bench.sample(sigmas)
    seed = latent_image.seed if noise is None else noise
    latent = dataclasses.replace(latent_image, seed=seed, text=guider.text)
    return latent, latent


def decode(_bench: Workbench, *, samples: Latent, vae: Any, **_tiling: int) -> Outputs:
    """The frames."""
    return (develop(samples),)


def create_video(_bench: Workbench, *, images: Batch, fps: float, audio: Any = None) -> Outputs:
    """Frames at a rate."""
    return (Video(images, frame_rate(fps)),)


def crop_batch(_bench: Workbench, *, image: Batch, width: int, height: int, x: int, y: int) -> Outputs:
    """A part of each picture."""
    return (image.crop(width, height, x, y),)


def cut_batch(_bench: Workbench, *, image: Batch, batch_index: int, length: int) -> Outputs:
    """Some of the pictures."""
    return (image.part(batch_index, length),)


def repeat_batch(_bench: Workbench, *, image: Batch, amount: int) -> Outputs:
    """The pictures over and over."""
    return (image.repeat(amount),)


def scale_batch(_bench: Workbench, *, image: Batch, upscale_method: str, width: int, height: int, crop: str) -> Outputs:
    """The pictures at another size."""
    return (image.scale(width, height, upscale_method, crop == "center"),)


NODES: Mapping[str, Callable[..., Outputs]] = {
    "BasicScheduler": schedule,
    "CFGGuider": guide,
    "CLIPTextEncode": encode_text,
    "CLIPVisionEncode": encode_picture,
    "CLIPVisionLoader": load_model,
    "CreateVideo": create_video,
    "DisableNoise": add_no_noise,
    "DualCLIPLoader": load_model,
    "EasyCache": pass_model,
    "HunyuanVideo15ImageToVideo": prepare_video,
    "HunyuanVideo15LatentUpscaleWithModel": upscale_latent,
    "HunyuanVideo15SuperResolution": prepare_super_resolution,
    "ImageCrop": crop_batch,
    "ImageFromBatch": cut_batch,
    "ImageScale": scale_batch,
    "KSamplerSelect": choose_sampler,
    "LatentUpscaleModelLoader": load_model,
    "LazyCache": pass_model,
    "LoadImage": load_image,
    "ModelSamplingSD3": pass_model,
    "RandomNoise": seed_noise,
    "RepeatImageBatch": repeat_batch,
    "SamplerCustomAdvanced": sample,
    "SplitSigmas": split_schedule,
    "TorchCompileModel": pass_model,
    "UNETLoader": load_model,
    "VAEDecode": decode,
    "VAEDecodeTiled": decode,
    "VAELoader": load_model,
}

SAVERS: Mapping[str, Callable[..., savers.Output]] = {
    "PreviewImage": savers.preview_image,
    "SaveAnimatedPNG": savers.save_animated_png,
    "SaveAnimatedWEBP": savers.save_animated_webp,
    "SaveFrames": savers.save_frames,
    "SaveImage": savers.save_image,
    "SaveVideo": savers.save_video,
    "SaveWEBM": savers.save_webm,
}
