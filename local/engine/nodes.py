"""What a node class does where it does more than hand its inputs on (relay.py).

Latents are descriptions, noise its seed, sigmas their number. A function takes the node's inputs by name and returns
its outputs in slot order; savers are in savers.py.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from local.engine import pictures, savers
from local.engine.pictures import Batch, Latent
from local.engine.relay import Conditioning, Outputs
from local.engine.savers import Video, frame_rate
from local.engine.workbench import Workbench


def load_image(bench: Workbench, *, image: str) -> Outputs:
    """The picture, and its mask."""
    path = bench.folders.locate(image)
    return pictures.load(path), pictures.load_mask(path, "alpha")


def load_mask(bench: Workbench, *, image: str, channel: str) -> Outputs:
    """One channel of the picture."""
    return (pictures.load_mask(bench.folders.locate(image), channel),)


def load_video(bench: Workbench, *, file: str) -> Outputs:
    """The frames at their rate."""
    return (savers.read_video(bench.folders.locate(file)),)


def take_video_apart(_bench: Workbench, *, video: Video) -> Outputs:
    """Frames, no sound, rate, and bits of a color."""
    return video.images, None, float(video.rate), video.bit_depth


def create_video(_bench: Workbench, *, images: Batch, fps: float, audio: Any = None, bit_depth: int = 8) -> Outputs:
    """Frames at a rate."""
    return (Video(images, frame_rate(fps), bit_depth),)


def sample(
    bench: Workbench, *, noise: int | None, guider: Conditioning, sampler: str, sigmas: int, latent_image: Latent
) -> Outputs:
    """The sampled latent, twice: as it is and denoised."""
    return _sample(bench, sigmas, noise, guider, latent_image) * 2


def sample_by_sigmas(
    bench: Workbench,
    *,
    noise_seed: int,
    add_noise: bool,
    positive: Conditioning,
    sigmas: int,
    latent_image: Latent,
    **_others: Any,
) -> Outputs:
    """The same, of SamplerCustom."""
    return _sample(bench, sigmas, noise_seed if add_noise else None, positive, latent_image) * 2


def sample_by_steps(
    bench: Workbench, *, seed: int, steps: int, positive: Conditioning, latent_image: Latent, **_others: Any
) -> Outputs:
    """The sampled latent, of KSampler."""
    return _sample(bench, steps, seed, positive, latent_image)


def sample_some_steps(
    bench: Workbench,
    *,
    add_noise: str,
    noise_seed: int,
    steps: int,
    start_at_step: int,
    end_at_step: int,
    positive: Conditioning,
    latent_image: Latent,
    **_others: Any,
) -> Outputs:
    """The sampled latent, of KSamplerAdvanced."""
    seed = noise_seed if add_noise == "enable" else None
    return _sample(bench, max(min(steps, end_at_step) - start_at_step, 0), seed, positive, latent_image)


def _sample(bench: Workbench, steps: int, seed: int | None, text: Conditioning, latent: Latent) -> Outputs:
    """Without noise the latent keeps the seed that it has."""
    bench.sample(steps)
    return (dataclasses.replace(latent, seed=latent.seed if seed is None else seed, text=text.text),)


def split_schedule(_bench: Workbench, *, sigmas: int, step: int) -> Outputs:
    """The steps up to `step`, and those behind it."""
    return min(step, sigmas), max(sigmas - step, 0)


def upscale_latent(_bench: Workbench, *, samples: Latent, width: int, height: int, **_others: Any) -> Outputs:
    """The latent at another size, its sides floored to 16; 0 for one side keeps the aspect."""
    width, height = pictures.fill_side((samples.width, samples.height), width, height)
    return (dataclasses.replace(samples, width=width // 16 * 16, height=height // 16 * 16),)


def enlarge_latent(_bench: Workbench, *, samples: Latent, upscale_method: str, scale_by: float) -> Outputs:
    """The latent so many times as wide and high, its sides rounded to 8."""
    sides = [round(side / 8 * scale_by) * 8 for side in (samples.width, samples.height)]
    return (dataclasses.replace(samples, width=sides[0], height=sides[1]),)


def repeat_latent(_bench: Workbench, *, samples: Latent, amount: int) -> Outputs:
    """As many clips more."""
    return (dataclasses.replace(samples, clips=samples.clips * amount),)


def join_batches(_bench: Workbench, *, image1: Batch, image2: Batch) -> Outputs:
    """The second's pictures behind the first's, at the first's size."""
    return (image1.join(image2.scale(*image1.size, "bilinear", crop=True)),)


def invert(_bench: Workbench, **batch: Batch) -> Outputs:
    """The negative."""
    return tuple(pictures.invert(each) for each in batch.values())


def crop_batch(_bench: Workbench, *, image: Batch, width: int, height: int, x: int, y: int) -> Outputs:
    """A part of each picture."""
    return (image.crop(width, height, x, y),)


def cut_batch(_bench: Workbench, *, image: Batch, batch_index: int, length: int) -> Outputs:
    """Some of the pictures; a negative index counts from the end."""
    return (image.part(batch_index, length),)


def interpolate(_bench: Workbench, *, images: Batch, multiplier: int, **_model: Any) -> Outputs:
    """As many pictures as there would be with some between each two: the former one of the two, over again."""
    length = (images.length - 1) * multiplier + 1
    return (dataclasses.replace(images, length=length, draw=lambda index: images.draw(index // multiplier)),)


def repeat_batch(_bench: Workbench, *, image: Batch, amount: int) -> Outputs:
    """The pictures over and over."""
    return (image.repeat(amount),)


def scale_batch(_bench: Workbench, *, image: Batch, upscale_method: str, width: int, height: int, crop: str) -> Outputs:
    """The pictures at another size."""
    return (image.scale(width, height, upscale_method, crop == "center"),)


def enlarge_batch(_bench: Workbench, *, image: Batch, upscale_method: str, scale_by: float) -> Outputs:
    """The pictures so many times as wide and high."""
    width, height = (max(1, round(side * scale_by)) for side in image.size)
    return (image.scale(width, height, upscale_method, crop=False),)


def scale_to_pixels(
    bench: Workbench, *, image: Batch, upscale_method: str, megapixels: float, resolution_steps: int = 1
) -> Outputs:
    """The pictures with so many pixels, their sides rounded to the steps."""
    factor = math.sqrt(megapixels * 1024 * 1024 / (image.size[0] * image.size[1]))
    width, height = (max(1, round(side * factor / resolution_steps)) * resolution_steps for side in image.size)
    return (image.scale(width, height, upscale_method, crop=False),)


NODES: Mapping[str, Callable[..., Outputs]] = {
    "CreateVideo": create_video,
    "FrameInterpolate": interpolate,
    "GetVideoComponents": take_video_apart,
    "HunyuanVideo15LatentUpscaleWithModel": upscale_latent,
    "ImageBatch": join_batches,
    "ImageCrop": crop_batch,
    "ImageFromBatch": cut_batch,
    "ImageInvert": invert,
    "ImageScale": scale_batch,
    "ImageScaleBy": enlarge_batch,
    "ImageScaleToTotalPixels": scale_to_pixels,
    "InvertMask": invert,
    "KSampler": sample_by_steps,
    "KSamplerAdvanced": sample_some_steps,
    "LatentUpscale": upscale_latent,
    "LatentUpscaleBy": enlarge_latent,
    "LoadImage": load_image,
    "LoadImageMask": load_mask,
    "LoadVideo": load_video,
    "RepeatImageBatch": repeat_batch,
    "RepeatLatentBatch": repeat_latent,
    "SamplerCustom": sample_by_sigmas,
    "SamplerCustomAdvanced": sample,
    "SplitSigmas": split_schedule,
}

SAVERS: Mapping[str, Callable[..., savers.Output]] = {
    "PreviewAny": savers.show_text,
    "PreviewImage": savers.preview_image,
    "SaveAnimatedPNG": savers.save_animated_png,
    "SaveAnimatedWEBP": savers.save_animated_webp,
    "SaveFrames": savers.save_frames,
    "SaveImage": savers.save_image,
    "SaveVideo": savers.save_video,
    "SaveWEBM": savers.save_webm,
}
