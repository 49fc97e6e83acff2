"""What the engine shows instead of a model's frames: the start picture in slow motion, marked as a preview."""

import math
import random
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from local.engine.pictures import Batch, fit

MARK = "PREVIEW - not Hunyuan"
_BILINEAR = Image.Resampling.BILINEAR


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


def empty_latent(width: int, height: int, length: int, clips: int, picture: Image.Image | None) -> Latent:
    """Sides are floored to 16 and the length to 4k+1, as HunyuanVideo's latents are."""
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
