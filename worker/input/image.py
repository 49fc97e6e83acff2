"""The caller's picture: fetched or decoded, checked in full, and in a form that ComfyUI reads as a viewer shows it."""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError

from worker.config import Settings
from worker.input import source as sources
from worker.input.source import rejected
from worker.stills import BROKEN, FORMATS, has_clear_parts, to_rgb

MAX_ASPECT = 16
"""Long side by short side. CLIPVisionEncode scales the short side to 384 pixels before it crops: 1:1000 costs ComfyUI
1.7 GB of memory, 1:16 some 30 MB; wider than any panorama that survives the crop to a video."""

_SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "MPO": ".jpg", "WEBP": ".webp"}  # MPO: a phone's JPEG with a preview inside
_PLAIN_MODES = ("1", "L", "P", "RGB", "LA", "PA", "RGBA")
_LOOKS_LIKE = (
    (rb"(?s)....ftyp(?:hei|hev|mif1|msf1)", "a HEIC photo"),
    (rb"(?s)....ftyp|\x1aE\xdf\xa3|RIFF....AVI ", "a video"),
    (rb"(?s)RIFF....WAVE|ID3|\xff[\xfb\xf3\xf2]|OggS|fLaC", "a sound"),
    (rb"\s*%PDF", "a PDF"),
    (rb"8BPS", "a Photoshop file"),
    (rb"(?i)\s*(?:<\?xml[^>]*>\s*)?<svg", "an SVG drawing"),
    (rb"(?i)\s*<(?:!doctype )?html", "a web page"),
    (rb"\s*<", "a web page or XML"),
    (rb"\s*[{\[]", "JSON"),
    (rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!", "an archive"),
)
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Image:
    """A picture to upload: its file, the file's suffix, and its size in pixels as shown (EXIF orientation applied)."""

    data: bytes
    suffix: str
    width: int
    height: int
    warnings: tuple[str, ...] = ()


def load(
    source: str,
    field: str,
    settings: Settings,
    *,
    as_sent: bool = False,
    fetch_seconds: float = sources.FETCH_SECONDS,
    check: Callable[[], None] = lambda: None,
) -> Image:
    """Read a picture from base64, a data URI or an http(s) URL; raises ImageRejected naming `field` and what to do.

    PNG, JPEG and WebP stills keep their bytes; all else becomes a PNG, animations their first frame, and transparency
    is laid on white (LoadImage would show the colours hidden under it). `as_sent` only checks: for a caller's own
    graph, where transparency is LoadImage's mask and an animation its batch. `check` is called again and again during
    a download, which ends if it raises.
    """
    data = sources.read(source, field, settings.max_image_bytes, check, fetch_seconds)
    try:
        return _check(data, field, settings, as_sent)
    except UnidentifiedImageError as error:
        raise rejected(field, f"is {_describe(data)}; send one of {', '.join(FORMATS)}") from error
    except (Pillow.DecompressionBombError, MemoryError) as error:
        raise rejected(field, f"has too many pixels; {_allowed_pixels(settings)}") from error
    except BROKEN as error:
        logger.info("%s: %d bytes cannot be decoded: %s", field, len(data), error)
        raise rejected(field, f"is cut short or damaged ({len(data)} bytes); send the whole file again") from error


def letterbox(picture: Image, width: int, height: int) -> Image:
    """The whole picture in a frame of that size, in pixels, with black bars at two sides."""
    with Pillow.open(BytesIO(picture.data), formats=FORMATS) as opened:
        upright = to_rgb(ImageOps.exif_transpose(opened))
    padded = ImageOps.pad(upright, (width, height), Pillow.Resampling.LANCZOS)
    file = BytesIO()
    padded.save(file, "PNG", compress_level=1)
    return Image(file.getvalue(), ".png", width, height, picture.warnings)


def _check(data: bytes, field: str, settings: Settings, as_sent: bool) -> Image:
    """Look at the header before any pixel is decoded, then decode every one: ComfyUI lets a cut file pass."""
    with Pillow.open(BytesIO(data), formats=FORMATS) as header:
        frames = 1 if header.format == "MPO" else int(getattr(header, "n_frames", 1))
        _check_size(header.size, frames if as_sent else 1, field, settings)
        header.verify()  # a PNG's checksums; it cannot be read on afterwards
    with Pillow.open(BytesIO(data), formats=FORMATS) as picture:
        picture.load()
        name, mode = str(picture.format), picture.mode
        ImageOps.exif_transpose(picture, in_place=True)
        width, height = picture.size
        warnings = () if as_sent else _tell_losses(picture, frames, field)
        if as_sent or (name in _SUFFIXES and mode in _PLAIN_MODES and not warnings):
            return Image(data, _SUFFIXES.get(name, f".{name.lower()}"), width, height)
        file = BytesIO()
        to_rgb(picture).save(file, "PNG", compress_level=1, icc_profile=None)
        return Image(file.getvalue(), ".png", width, height, warnings)


def _check_size(size: tuple[int, int], frames: int, field: str, settings: Settings) -> None:
    width, height = size
    if width * height * frames > settings.max_image_pixels:
        times = f" x {frames} frames" if frames > 1 else ""
        raise rejected(field, f"is {width}x{height}{times} pixels; {_allowed_pixels(settings)}")
    if max(size) > MAX_ASPECT * min(size):
        fault = f"is {width}x{height} pixels; the long side may be at most {MAX_ASPECT} times the short one: crop it"
        raise rejected(field, fault)


def _tell_losses(picture: Pillow.Image, frames: int, field: str) -> tuple[str, ...]:
    """What ComfyUI will not be given; nothing for alpha that hides no pixel."""
    losses = []
    if frames > 1:
        losses.append(f"{field}: only the first of {frames} frames is used")
    if has_clear_parts(picture):
        losses.append(f"{field}: the transparent parts are filled with white")
    return tuple(losses)


def _describe(data: bytes) -> str:
    names = (name for start, name in _LOOKS_LIKE if re.match(start, data))
    return next(names, f"not a readable image ({len(data)} bytes)")


def _allowed_pixels(settings: Settings) -> str:
    return f"at most {settings.max_image_pixels / 1e6:g} megapixels are accepted (MAX_IMAGE_MEGAPIXELS): scale it down"
