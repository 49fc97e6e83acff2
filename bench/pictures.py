"""Start pictures for the measurements, and how much the frames of two clips differ."""

import functools
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

PHOTOGRAPH = Path(__file__).parents[1] / "examples/rocket.jpg"
SIZE = (720, 1280)


def photograph(number: int) -> bytes:
    """The sample photograph as PNG, with a corner that is `number`'s own: ComfyUI's cache knows none by another."""
    picture = _photograph().copy()
    picture.putpixel((0, 0), (number % 256, number // 256 % 256, 0))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


@functools.cache
def _photograph() -> Image.Image:
    return Image.open(PHOTOGRAPH).convert("RGB").resize(SIZE)


def compare(reference: Sequence[bytes], frames: Sequence[bytes]) -> dict[str, float]:
    """How far the frames are from the reference's, in levels of 255; deviation: of the frames' own values."""
    means, largest, deviations = [], [], []
    for one, other in zip(reference, frames, strict=True):
        expected, found = (np.asarray(Image.open(io.BytesIO(file)).convert("RGB"), np.float32) for file in (one, other))
        difference = np.abs(expected - found)
        means.append(float(difference.mean()))
        largest.append(float(difference.max()))
        deviations.append(float(found.std()))
    return {
        "mean_difference": float(np.mean(means)),
        "largest_difference": max(largest),
        "deviation": float(np.mean(deviations)),
    }
