"""Frames to files, on all cores: numpy and Pillow both let go of the interpreter while they work."""

import os
import zlib
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SUFFIXES = {"jpeg": ".jpg", "png": ".png", "webp": ".webp"}
"""The file name's suffix for each format."""

MAX_THREADS = 16  # each holds one frame, some 8 MB at 1280x720; a container is often told of more cores than it has
_BAND = 64  # rows converted at a time: few enough to stay in the processor's cache


def write_all(load: Callable[[int], NDArray[Any]], paths: Sequence[Path], quality: int) -> Generator[None, None, None]:
    """Write frame i, as `load(i)` gives it, to paths[i]; yields once for each, in order.

    `load` is called in the thread that writes, so only the frames in work are held. Closing the generator drops those
    not begun. Raises what Pillow or the disk raises.
    """

    def write_one(index: int) -> None:
        write(load(index), paths[index], quality)

    pool = ThreadPoolExecutor(max(1, min(len(paths), os.cpu_count() or 1, MAX_THREADS)))
    try:
        yield from pool.map(write_one, range(len(paths)))
    finally:
        pool.shutdown(cancel_futures=True)


def write(frame: NDArray[Any], path: Path, quality: int) -> None:
    """Write one frame (height, width, channels; 0 to 1) in the format of the path's suffix, without metadata.

    JPEG has Pillow's own chroma subsampling (4:2:0) and tables, and transparency laid on white; WebP is lossy of
    method 2: both as the worker writes them (worker/stills.py). PNG has SaveImage's pixels.
    """
    picture = Image.fromarray(to_bytes(frame))
    if path.suffix == SUFFIXES["jpeg"] and picture.mode == "RGBA":
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    # A photograph's rows repeat little but runs: looking for no more takes half of SaveImage's time, and is no larger.
    picture.save(path, quality=quality, compress_type=zlib.Z_RLE, method=2)


def to_bytes(frame: NDArray[Any]) -> NDArray[np.uint8]:
    """0 to 1 as 0 to 255, cut off below as SaveImage does it."""
    pixels = np.empty(frame.shape, np.uint8)
    for top in range(0, len(frame), _BAND):
        band = frame[top : top + _BAND] * 255.0
        pixels[top : top + _BAND] = np.clip(band, 0, 255, out=band)
    return pixels
