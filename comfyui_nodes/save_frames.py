"""The node SaveFrames. ComfyUI's own modules are imported when it runs: they exist in ComfyUI's process only."""

from contextlib import closing
from pathlib import Path
from typing import Any

from .frames import SUFFIXES, write_all


class SaveFrames:
    """SaveImage for many pictures: JPEG, PNG or WebP, written on all cores and without metadata."""

    RETURN_TYPES = ()
    FUNCTION = "save"
    OUTPUT_NODE = True
    CATEGORY = "image"
    DESCRIPTION = "Saves each picture to a file of its own in the output folder, on all cores."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802  ComfyUI's name
        """What ComfyUI asks a node for."""
        quality = {"default": 95, "min": 1, "max": 100, "tooltip": "Of JPEG and WebP; PNG keeps every pixel."}
        return {
            "required": {
                "images": ("IMAGE", {"tooltip": "The pictures to save."}),
                "filename_prefix": ("STRING", {"default": "ComfyUI", "tooltip": "As SaveImage takes it."}),
                "format": (list(SUFFIXES), {"default": "jpeg"}),
                "quality": ("INT", quality),
            }
        }

    def save(self, images: Any, filename_prefix: str, format: str, quality: int) -> dict[str, Any]:  # noqa: A002
        """Write `images` (a tensor: number, height, width, channels) and name the files as SaveImage does."""
        import folder_paths
        from comfy.model_management import throw_exception_if_processing_interrupted
        from comfy.utils import ProgressBar

        height, width = images.shape[1:3]
        folder, stem, counter, subfolder, _ = folder_paths.get_save_image_path(
            filename_prefix, folder_paths.get_output_directory(), width, height
        )
        names = [
            f"{stem.replace('%batch_num%', str(index))}_{counter + index:05}_{SUFFIXES[format]}"
            for index in range(len(images))
        ]
        progress = ProgressBar(len(names))
        paths = [Path(folder, name) for name in names]
        with closing(write_all(lambda index: images[index].cpu().numpy(), paths, quality)) as written:
            for _ in written:
                throw_exception_if_processing_interrupted()
                progress.update(1)
        return {"ui": {"images": [{"filename": name, "subfolder": subfolder, "type": "output"} for name in names]}}
