"""Batches of pictures, drawn one at a time so that a long clip needs no more memory than a short one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageFile, ImageOps, ImageSequence

METHODS = {
    "nearest-exact": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclass(frozen=True)
class Batch:
    """ComfyUI's IMAGE: `length` RGB pictures of one size (width, height); `draw` makes the i-th."""

    length: int
    size: tuple[int, int]
    draw: Callable[[int], Image.Image]

    def __iter__(self) -> Iterator[Image.Image]:
        return (self.draw(index) for index in range(self.length))

    def part(self, start: int, length: int) -> "Batch":
        """Up to `length` pictures from `start`, or from the last one if start lies behind it."""
        start = min(start, self.length - 1)
        return Batch(min(length, self.length - start), self.size, lambda index: self.draw(start + index))

    def repeat(self, amount: int) -> "Batch":
        """The whole batch, `amount` times over."""
        return Batch(self.length * amount, self.size, lambda index: self.draw(index % self.length))

    def crop(self, width: int, height: int, left: int, top: int) -> "Batch":
        """The part of every picture that begins there, cut at the picture's edges."""
        left, top = min(left, self.size[0] - 1), min(top, self.size[1] - 1)
        right, bottom = min(left + width, self.size[0]), min(top + height, self.size[1])
        box = (left, top, right, bottom)
        return Batch(self.length, (right - left, bottom - top), lambda index: self.draw(index).crop(box))

    def scale(self, width: int, height: int, method: str, crop: bool) -> "Batch":
        """Every picture at another size; 0 for one side keeps the aspect, `crop` cuts the middle out first."""
        size = _target(self.size, width, height)
        return Batch(self.length, size, lambda index: fit(self.draw(index), size, METHODS[method], crop))


def load(path: Path) -> Batch:
    """Read a picture, or all frames of an animated one; a cut-off file yields what there is of it."""
    with Image.open(path) as image:
        try:
            frames = _frames(image)
        except OSError:
            frames = None
    return _batch(frames or _frames_of_a_cut_file(path))


def fit(image: Image.Image, size: tuple[int, int], method: Image.Resampling, crop: bool) -> Image.Image:
    """The picture at `size`; with `crop` its middle, undistorted."""
    if crop:
        return ImageOps.fit(image, size, method)
    return image.resize(size, method)


def _frames(image: Image.Image) -> list[Image.Image]:
    frames = []
    for frame in ImageSequence.Iterator(image):
        frames.append(_eight_bit(ImageOps.exif_transpose(frame)).convert("RGB"))
        if image.format == "MPO":  # a stereo photograph: the first picture is the photograph
            break
    return frames


def _frames_of_a_cut_file(path: Path) -> list[Image.Image]:
    # Pillow has this switch only for the whole process, so it is on no longer than this needs.
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        with Image.open(path) as image:
            return _frames(image)
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False


def _eight_bit(image: Image.Image) -> Image.Image:
    # LoadImage scales deep grey of the mode I only: that of a PNG is of another, and ends up clipped to white.
    return image.point(lambda level: level * (1 / 255)) if image.mode == "I" else image


def _batch(frames: list[Image.Image]) -> Batch:
    size = frames[0].size
    same = [frame for frame in frames if frame.size == size]
    return Batch(len(same), size, same.__getitem__)


def _target(size: tuple[int, int], width: int, height: int) -> tuple[int, int]:
    if width == 0 and height == 0:
        return size
    return width or max(1, round(size[0] * height / size[1])), height or max(1, round(size[1] * width / size[0]))
