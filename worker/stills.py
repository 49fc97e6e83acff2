"""Still pictures in Pillow: which files it may open, how they look as RGB, and how they are written for the answer."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import cast

from PIL import Image as Pillow

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""What Pillow may open: no format that runs a program or reads another file."""
BROKEN: tuple[type[Exception], ...] = (
    OSError,
    SyntaxError,
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    struct.error,
    zlib.error,
    Pillow.DecompressionBombError,
)
"""What Pillow's readers raise on broken files, besides their own OSErrors (RuntimeError: AVIF)."""


@dataclass(frozen=True)
class Encoding:
    """How stills are written; without a format they stay as saved, without a quality nothing is lost."""

    format: str = ""
    quality: int | None = None

    @property
    def suffix(self) -> str:
        """The suffix of files in this encoding."""
        return {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}.get(self.format, "")


_JPEG = tuple(Encoding("JPEG", quality) for quality in (95, 90, 85, 80, 70, 60, 50, 40))
LADDERS = {
    "auto": _JPEG,
    "jpeg": _JPEG,
    "png": (Encoding("PNG"), *_JPEG),
    "webp": (Encoding("WEBP", 90), *_JPEG),
    "original": (Encoding(), *_JPEG),
}
"""The encodings tried for each frame_format, best first. WebP is lossy here: who wants every pixel asks for PNG."""


def encode(data: bytes, encodings: Sequence[Encoding]) -> list[bytes]:
    """A picture's file in each encoding, decoded once; none where it cannot be read or moves. JPEG: laid on white."""
    try:
        with Pillow.open(BytesIO(data), formats=FORMATS) as picture:
            moves = getattr(picture, "is_animated", False)
            return [] if moves else [_write(picture, encoding) for encoding in encodings]
    except BROKEN:
        return []


def _write(picture: Pillow.Image, encoding: Encoding) -> bytes:
    target = BytesIO()
    shown = to_rgb(picture) if encoding.format == "JPEG" else picture
    # PNG's level 1 is several times faster than its default; WebP's method 2 gains as much as its default 4.
    shown.save(target, encoding.format, quality=encoding.quality or 100, compress_level=1, method=2)
    return target.getvalue()


def has_clear_parts(picture: Pillow.Image) -> bool:
    """Whether any pixel lets the background through; many pictures carry an alpha channel that hides nothing."""
    return picture.has_transparency_data and _range(picture.convert("RGBA").getchannel("A"))[0] < 255


def to_rgb(picture: Pillow.Image) -> Pillow.Image:
    """8-bit RGB as a viewer shows it: transparency on white, deep grey scaled down instead of clipped."""
    if picture.mode[0] in "IF":
        return _scale_grey(picture).convert("RGB")
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layered = picture.convert("RGBA")
    flat = Pillow.new("RGB", layered.size, "white")
    flat.paste(layered, mask=layered.getchannel("A"))
    return flat


def _scale_grey(picture: Pillow.Image) -> Pillow.Image:
    """Grey of 16 bits spans 0..65535; of 32 bits or floating point it has no agreed white: its own range is used."""
    low, high = (0.0, 65535.0) if picture.mode.startswith("I;16") else _range(picture)
    scale = 255 / (high - low) if high > low else 1.0
    offset = -low * scale
    return picture.convert("F").point(lambda value: value * scale + offset).convert("L")


def _range(band: Pillow.Image) -> tuple[float, float]:
    """The lowest and the highest value of a picture of one band."""
    return cast("tuple[float, float]", band.getextrema())
