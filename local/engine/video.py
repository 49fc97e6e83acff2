"""Writing moving pictures: mp4 and webm through PyAV, animated WebP and PNG through Pillow."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, PngImagePlugin

from local.engine.pictures import Batch

WEBP_METHODS = {"default": 4, "fastest": 0, "slowest": 6}


@dataclass(frozen=True)
class Video:
    """ComfyUI's VIDEO: pictures and their rate."""

    images: Batch
    rate: Fraction


def frame_rate(fps: float) -> Fraction:
    """The rate ComfyUI writes: thousandths of a frame per second (29.97 -> 2997/100)."""
    return Fraction(round(fps * 1000), 1000)


def write_mp4(path: Path, video: Video, metadata: Mapping[str, Any]) -> None:
    """H.264 in yuv420p; metadata values are stored as JSON."""
    _write(path, video, "libx264", "yuv420p", options={"preset": "veryfast"}, metadata=metadata)


def write_webm(path: Path, video: Video, codec: str, crf: float, metadata: Mapping[str, Any]) -> None:
    """VP9 or AV1 at constant quality (crf 0 to 63, lower is better)."""
    if codec == "vp9":
        options = {"crf": str(int(crf)), "b": "0", "deadline": "realtime", "cpu-used": "6"}
        _write(path, video, "libvpx-vp9", "yuv420p", options=options, metadata=metadata)
    else:
        options = {"crf": str(int(crf)), "preset": "10"}
        _write(path, video, "libsvtav1", "yuv420p10le", options=options, metadata=metadata)


def write_webp(path: Path, video: Video, lossless: bool, quality: int, method: str) -> None:
    """An endless animated WebP."""
    _write_animation(path, video, lossless=lossless, quality=quality, method=WEBP_METHODS[method])


def write_apng(path: Path, video: Video, compress_level: int, metadata: Mapping[str, Any]) -> None:
    """An endless animated PNG."""
    _write_animation(path, video, compress_level=compress_level, pnginfo=png_text(metadata))


def write_png(path: Path, image: Image.Image, compress_level: int, metadata: Mapping[str, Any]) -> None:
    """One picture."""
    image.save(path, pnginfo=png_text(metadata), compress_level=compress_level)


def png_text(metadata: Mapping[str, Any]) -> PngImagePlugin.PngInfo:
    """Text chunks with the values as JSON."""
    chunks = PngImagePlugin.PngInfo()
    for key, value in metadata.items():
        chunks.add_text(key, json.dumps(value))
    return chunks


def _write(
    path: Path, video: Video, codec: str, pixels: str, *, options: dict[str, str], metadata: Mapping[str, Any]
) -> None:
    with av.open(str(path), "w", options={"movflags": "use_metadata_tags"} if path.suffix == ".mp4" else {}) as output:
        for key, value in metadata.items():
            output.metadata[key] = json.dumps(value)
        stream = output.add_stream(codec, rate=video.rate, options=options)
        stream.width, stream.height = video.images.size
        stream.pix_fmt = pixels
        for image in video.images:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(image), format="rgb24")))
        output.mux(stream.encode())


def _write_animation(path: Path, video: Video, **options: Any) -> None:
    first, rest = video.images.draw(0), video.images.part(1, video.images.length - 1)
    first.save(path, save_all=True, append_images=rest, duration=int(1000 / video.rate), loop=0, **options)
