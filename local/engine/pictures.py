"""Batches of pictures, drawn one at a time so that a long clip needs no more memory than a short one.

In place of a model's frames stands the start picture in slow motion, marked as a preview.
"""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from PIL import Image, ImageDraw, ImageFile, ImageFont, ImageOps, ImageSequence

MARK = "PREVIEW - not Hunyuan"
_BILINEAR = Image.Resampling.BILINEAR
_Read = TypeVar("_Read")

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
        """Up to `length` pictures from `start`, negative from the end; from the last one if start lies behind it."""
        start = max(min(start, self.length - 1), 0) if start >= 0 else max(self.length + start, 0)
        return Batch(min(length, self.length - start), self.size, lambda index: self.draw(start + index))

    def repeat(self, amount: int) -> "Batch":
        """The whole batch, `amount` times over."""
        return Batch(self.length * amount, self.size, lambda index: self.draw(index % self.length))

    def join(self, other: "Batch") -> "Batch":
        """This batch, and another of the same size behind it."""
        first, length = self.length, self.length + other.length
        return Batch(length, self.size, lambda i: self.draw(i) if i < first else other.draw(i - first))

    def crop(self, width: int, height: int, left: int, top: int) -> "Batch":
        """The part of every picture that begins there, cut at the picture's edges."""
        left, top = min(left, self.size[0] - 1), min(top, self.size[1] - 1)
        right, bottom = min(left + width, self.size[0]), min(top + height, self.size[1])
        box = (left, top, right, bottom)
        return Batch(self.length, (right - left, bottom - top), lambda index: self.draw(index).crop(box))

    def scale(self, width: int, height: int, method: str, crop: bool) -> "Batch":
        """Every picture at another size; 0 for one side keeps the aspect, `crop` cuts the middle out first."""
        size = fill_side(self.size, width, height)
        return Batch(self.length, size, lambda index: fit(self.draw(index), size, METHODS[method], crop))


def load(path: Path) -> Batch:
    """Read a picture, or all frames of an animated one; a cut-off file yields what there is of it."""
    return _batch(_read(path, _frames))


def load_mask(path: Path, channel: str) -> Batch:
    """A picture's `red`, `green`, `blue` or `alpha` in grey; alpha inverted, and black where there is none."""
    image = _read(path, lambda opened: ImageOps.exif_transpose(opened).convert("RGBA"))
    grey = image.getchannel(channel[0].upper())
    mask = (ImageOps.invert(grey) if channel == "alpha" else grey).convert("RGB")
    return _batch([mask])


def blank(size: tuple[int, int], length: int) -> Batch:
    """Black pictures."""
    return Batch(length, size, lambda _index: Image.new("RGB", size))


def invert(batch: Batch) -> Batch:
    """The negatives."""
    return Batch(batch.length, batch.size, lambda index: ImageOps.invert(batch.draw(index)))


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


def _read(path: Path, read: Callable[[Image.Image], _Read]) -> _Read:
    with Image.open(path) as image:
        try:
            return read(image)
        except OSError:
            pass
    # Cut off. Pillow has this switch only for the whole process, so it is on no longer than this needs.
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        with Image.open(path) as image:
            return read(image)
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False


def _eight_bit(image: Image.Image) -> Image.Image:
    # LoadImage scales deep grey of the mode I only: that of a PNG is of another, and ends up clipped to white.
    return image.point(lambda level: level * (1 / 255)) if image.mode == "I" else image


def _batch(frames: list[Image.Image]) -> Batch:
    size = frames[0].size
    same = [frame for frame in frames if frame.size == size]
    return Batch(len(same), size, same.__getitem__)


def fill_side(size: tuple[int, int], width: int, height: int) -> tuple[int, int]:
    """Width and height with 0 replaced so that the aspect stays; `size` itself where both are 0."""
    if width == 0 and height == 0:
        return size
    return width or max(1, round(size[0] * height / size[1])), height or max(1, round(size[1] * width / size[0]))


@dataclass(frozen=True)
class Latent:
    """A description of frames that nobody has drawn yet; seed is None until a sampler made one of it."""

    width: int
    height: int
    frames: int
    clips: int
    picture: Image.Image | None = None
    text: str = ""
    seed: int | None = None


def empty_latent(width: int, height: int, length: int | None, clips: int, picture: Image.Image | None) -> Latent:
    """A video's sides are floored to 16 and its length to 4k+1, as HunyuanVideo's are; an image's (None) sides to 8."""
    if length is None:
        return Latent(width // 8 * 8, height // 8 * 8, 1, clips, picture)
    return Latent(width // 16 * 16, height // 16 * 16, (length - 1) // 4 * 4 + 1, clips, picture)


def develop(latent: Latent) -> Batch:
    """The latent's frames; its clips follow one another."""
    takes = [_Take(latent, clip) for clip in range(latent.clips)]
    return Batch(
        latent.frames * latent.clips,
        (latent.width, latent.height),
        lambda index: takes[index // latent.frames].frame(index % latent.frames),
    )


class _Take:
    """One slow move over the picture; its direction, zoom and grain come from the seed and the text."""

    def __init__(self, latent: Latent, clip: int) -> None:
        dice = random.Random(f"{latent.seed} {clip} {latent.text}")  # noqa: S311  pictures, not secrets
        self._size = (latent.width, latent.height)
        self._frames = latent.frames
        self._angle = dice.uniform(0, 2 * math.pi)
        self._zooms = dice.sample((1.05, dice.uniform(1.1, 1.2)), 2)
        self._picture = self._grained(latent.picture, dice)
        self._mark = _draw_mark(self._size)

    def frame(self, index: int) -> Image.Image:
        """The index-th frame, RGB."""
        frame = self._picture.resize(self._size, _BILINEAR, box=self._view(index / max(1, self._frames - 1)))
        frame.paste(self._mark, (0, self._size[1] - self._mark.height))
        return frame

    def _grained(self, picture: Image.Image | None, dice: random.Random) -> Image.Image:
        """The picture at the clip's size under a faint random light, so that a flat one moves and varies too."""
        light = Image.frombytes("L", (8, 8), dice.randbytes(64)).resize(self._size, Image.Resampling.BICUBIC)
        if picture is None:
            return light.convert("RGB")
        return Image.blend(fit(picture, self._size, _BILINEAR, crop=True), light.convert("RGB"), 0.08)

    def _view(self, moment: float) -> tuple[float, float, float, float]:
        """The box seen at `moment`, 0 to 1, as left, top, right, bottom in pixels of the picture."""
        width, height = self._size
        zoom = self._zooms[0] + (self._zooms[1] - self._zooms[0]) * moment
        seen_width, seen_height = width / zoom, height / zoom
        drift = 0.9 * (2 * moment - 1)
        left = (width - seen_width) / 2 * (1 + drift * math.cos(self._angle))
        top = (height - seen_height) / 2 * (1 + drift * math.sin(self._angle))
        return left, top, left + seen_width, top + seen_height


def _draw_mark(size: tuple[int, int]) -> Image.Image:
    """The strip at the foot of every frame that says what this is, as wide as the frame."""
    width, height = size
    text_size = max(1.0, min(height / 16, width / 12))
    mark = Image.new("RGB", (width, max(1, int(text_size * 1.5))), "black")
    font = ImageFont.load_default(text_size)
    ImageDraw.Draw(mark).text((width / 2, mark.height / 2), MARK, font=font, fill="white", anchor="mm")
    return mark
