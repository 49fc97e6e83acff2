"""The nodes that write files; each returns what ComfyUI shows of it in the node's output."""

import random
import string
from collections.abc import Mapping
from typing import Any

from local.engine.folders import OutputName
from local.engine.pictures import Batch
from local.engine.video import Video, frame_rate, write_apng, write_mp4, write_png, write_webm, write_webp
from local.engine.workbench import Workbench

Output = dict[str, Any]


def save_image(bench: Workbench, *, images: Batch, filename_prefix: str) -> Output:
    """One PNG per picture."""
    name = bench.folders.reserve(filename_prefix, "output", *images.size)
    return _save_pngs(images, name, 4, bench.metadata)


def preview_image(bench: Workbench, *, images: Batch) -> Output:
    """One PNG per picture in temp/."""
    letters = "".join(random.choices(string.ascii_lowercase, k=5))  # noqa: S311  a name, not a secret
    name = bench.folders.reserve(f"ComfyUI_temp_{letters}", "temp", *images.size)
    return _save_pngs(images, name, 1, bench.metadata)


def save_frames(bench: Workbench, *, images: Batch, filename_prefix: str, format: str, quality: int) -> Output:  # noqa: A002  the input's name
    """One JPEG, PNG or WebP per picture, without metadata."""
    name = bench.folders.reserve(filename_prefix, "output", *images.size)
    suffix = "jpg" if format == "jpeg" else format
    files = [name.file(suffix, index) for index in range(images.length)]
    for file, image in zip(files, images, strict=True):
        image.save(name.folder / file, quality=quality, compress_level=4, method=2)
    return {"images": [name.entry(file) for file in files]}


def save_video(bench: Workbench, *, video: Video, filename_prefix: str, format: str, codec: str) -> Output:  # noqa: A002  the input's name
    """An mp4."""
    name = bench.folders.reserve(filename_prefix, "output", *video.images.size)
    file = name.file("mp4")
    write_mp4(name.folder / file, video, bench.metadata)
    return _animated(name, file)


def save_webm(bench: Workbench, *, images: Batch, filename_prefix: str, codec: str, fps: float, crf: float) -> Output:
    """A webm."""
    name = bench.folders.reserve(filename_prefix, "output", *images.size)
    file = name.file("webm")
    write_webm(name.folder / file, Video(images, frame_rate(fps)), codec, crf, bench.metadata)
    return _animated(name, file)


def save_animated_webp(
    bench: Workbench, *, images: Batch, filename_prefix: str, fps: float, lossless: bool, quality: int, method: str
) -> Output:
    """An animated WebP."""
    name = bench.folders.reserve(filename_prefix, "output", *images.size)
    file = name.file("webp")
    write_webp(name.folder / file, Video(images, frame_rate(fps)), lossless, quality, method)
    return _animated(name, file)


def save_animated_png(
    bench: Workbench, *, images: Batch, filename_prefix: str, fps: float, compress_level: int
) -> Output:
    """An animated PNG."""
    name = bench.folders.reserve(filename_prefix, "output", *images.size)
    file = name.file("png")
    write_apng(name.folder / file, Video(images, frame_rate(fps)), compress_level, bench.metadata)
    return _animated(name, file)


def _save_pngs(images: Batch, name: OutputName, compress_level: int, metadata: Mapping[str, Any]) -> Output:
    files = []
    for index, image in enumerate(images):
        file = name.file("png", index)
        write_png(name.folder / file, image, compress_level, metadata)
        files.append(name.entry(file))
    return {"images": files}


def _animated(name: OutputName, file: str) -> Output:
    return {"images": [name.entry(file)], "animated": [True]}
