"""The nodes that write files; each returns what ComfyUI shows of it in the node's output."""

import random
import string
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from local.engine.folders import OutputName
from local.engine.pictures import Batch
from local.engine.workbench import Workbench

Output = dict[str, Any]

WEBP_METHODS = {"default": 4, "fastest": 0, "slowest": 6}


@dataclass(frozen=True)
class Video:
    """ComfyUI's VIDEO: pictures and their rate."""

    images: Batch
    rate: Fraction
    bit_depth: int = 8
    """Bits of a color: 8 or 10."""


def read_video(path: Path) -> Video:
    """All frames of a file; raises av.FFmpegError for what is no video."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_image() for frame in container.decode(stream)]
        return Video(Batch(len(frames), frames[0].size, frames.__getitem__), Fraction(stream.average_rate or 24))


def frame_rate(fps: float) -> Fraction:
    """The rate ComfyUI writes: thousandths of a frame per second (29.97 -> 2997/100)."""
    return Fraction(round(fps * 1000), 1000)


def save_image(bench: Workbench, *, images: Batch, filename_prefix: str) -> Output:
    """One PNG per picture."""
    return _save_pictures(images, bench.folders.reserve(filename_prefix, "output", *images.size), "png")


def preview_image(bench: Workbench, *, images: Batch) -> Output:
    """One PNG per picture in temp/."""
    letters = "".join(random.choices(string.ascii_lowercase, k=5))  # noqa: S311  a name, not a secret
    return _save_pictures(images, bench.folders.reserve(f"ComfyUI_temp_{letters}", "temp", *images.size), "png")


def save_frames(bench: Workbench, *, images: Batch, filename_prefix: str, format: str, quality: int) -> Output:  # noqa: A002  the input's name
    """One JPEG, PNG or WebP per picture."""
    name = bench.folders.reserve(filename_prefix, "output", *images.size)
    return _save_pictures(images, name, "jpg" if format == "jpeg" else format, quality=quality, method=2)


def show_text(_bench: Workbench, *, source: Any) -> Output:
    """The value as text."""
    return {"text": [source if isinstance(source, str) else str(source)]}


def save_video(
    bench: Workbench,
    *,
    video: Video,
    filename_prefix: str,
    format: str,  # noqa: A002  the input's name
    codec: str,
    **encoding: Any,
) -> Output:
    """H.264, as mp4; `encoding` holds the inputs that the codec brings."""
    name = bench.folders.reserve(filename_prefix, "output", *video.images.size)
    file = name.file("mp4")
    options = {"preset": "veryfast"}
    if "codec.encoding.crf" in encoding:
        options["crf"] = str(encoding["codec.encoding.crf"])
    _encode(name.folder / file, video, "libx264", "yuv420p" if video.bit_depth == 8 else "yuv420p10le", options)
    return _animated(name, file)


def save_webm(bench: Workbench, *, images: Batch, filename_prefix: str, codec: str, fps: float, crf: float) -> Output:
    """VP9 or AV1 at constant quality (crf 0 to 63, lower is better)."""
    name = bench.folders.reserve(filename_prefix, "output", *images.size)
    file, video = name.file("webm"), Video(images, frame_rate(fps))
    if codec == "vp9":
        options = {"crf": str(int(crf)), "b": "0", "deadline": "realtime", "cpu-used": "6"}
        _encode(name.folder / file, video, "libvpx-vp9", "yuv420p", options)
    else:
        _encode(name.folder / file, video, "libsvtav1", "yuv420p10le", {"crf": str(int(crf)), "preset": "10"})
    return _animated(name, file)


def save_animated_webp(
    bench: Workbench, *, images: Batch, filename_prefix: str, fps: float, lossless: bool, quality: int, method: str
) -> Output:
    """An endless animated WebP."""
    name = bench.folders.reserve(filename_prefix, "output", *images.size)
    options = {"lossless": lossless, "quality": quality, "method": WEBP_METHODS[method]}
    return _animate(images, name, name.file("webp"), fps, **options)


def save_animated_png(
    bench: Workbench, *, images: Batch, filename_prefix: str, fps: float, compress_level: int
) -> Output:
    """An endless animated PNG."""
    name = bench.folders.reserve(filename_prefix, "output", *images.size)
    return _animate(images, name, name.file("png"), fps, compress_level=compress_level)


def _save_pictures(images: Batch, name: OutputName, suffix: str, **options: Any) -> Output:
    files = [name.file(suffix, index) for index in range(images.length)]
    for file, image in zip(files, images, strict=True):
        image.save(name.folder / file, compress_level=4, **options)
    return {"images": [name.entry(file) for file in files]}


def _encode(path: Path, video: Video, codec: str, pixels: str, options: dict[str, str]) -> None:
    with av.open(str(path), "w", options={"movflags": "faststart"} if path.suffix == ".mp4" else {}) as output:
        stream = output.add_stream(codec, rate=video.rate, options=options)
        stream.width, stream.height = video.images.size
        stream.pix_fmt = pixels
        for image in video.images:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(image), format="rgb24")))
        output.mux(stream.encode())


def _animate(images: Batch, name: OutputName, file: str, fps: float, **options: Any) -> Output:
    first, rest = images.draw(0), images.part(1, images.length - 1)
    duration = int(1000 / frame_rate(fps))
    first.save(name.folder / file, save_all=True, append_images=rest, duration=duration, loop=0, **options)
    return _animated(name, file)


def _animated(name: OutputName, file: str) -> Output:
    return {"images": [name.entry(file)], "animated": [True]}
