"""What a picture's bytes hold: looked at and decoded in full. It runs in decoder's child, and imports little."""

import re
from dataclasses import dataclass, replace
from io import BytesIO

from PIL import Image as Pillow
from PIL import ImageCms, ImageOps, UnidentifiedImageError

from worker.stills import FORMATS, has_clear_parts, to_rgb

MAX_ASPECT = 16
"""Long side by short side. CLIPVisionEncode scales the short side to 384 pixels before it crops: 1:1000 costs ComfyUI
1.7 GB of memory, 1:16 some 30 MB; wider than any panorama that survives the crop to a video."""

READABLE = (*FORMATS, "HEIC")
_HEIC = "HEIF"
"""Pillow's name for the format of phones' photos; ComfyUI reads none."""
_HEIC_START = re.compile(rb"(?s)....ftyp(?:hei|hev|mif1|msf1)")
_SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "MPO": ".jpg", "WEBP": ".webp"}  # MPO: a phone's JPEG with a preview inside
_PLAIN_MODES = ("1", "L", "P", "RGB", "LA", "PA", "RGBA")


@dataclass(frozen=True)
class Image:
    """A picture to upload: its file, the file's suffix, and its size in pixels as shown (EXIF orientation applied)."""

    data: bytes
    suffix: str
    width: int
    height: int
    warnings: tuple[str, ...] = ()
    """Without the field's name."""


class Unfit(Exception):
    """Why a picture is not taken. kind: `size` (in words), `pixels`, `unknown` (no format of ours) or `broken`."""

    def __init__(self, kind: str, text: str = "") -> None:
        super().__init__(text)
        self.kind = kind


def look(data: bytes, max_pixels: int, *, as_sent: bool) -> Image:
    """Decode the picture; raises Unfit.

    PNG, JPEG and WebP stills keep their bytes; all else becomes a PNG, animations their first frame, and transparency
    is laid on white (LoadImage would show the colors hidden under it). `as_sent` only checks, but for HEIC.
    """
    try:
        return _look(data, max_pixels, as_sent)
    except Unfit:
        raise
    except UnidentifiedImageError as error:
        raise Unfit("broken" if _HEIC_START.match(data) else "unknown") from error
    except (Pillow.DecompressionBombError, MemoryError) as error:
        raise Unfit("pixels") from error
    except Exception as error:  # what readers raise on broken files has no end
        raise Unfit("broken", f"{type(error).__name__}: {error}") from error


def letterbox(picture: Image, width: int, height: int) -> Image:
    """The whole picture in a frame of that size, in pixels, with black bars at two sides."""
    with Pillow.open(BytesIO(picture.data), formats=FORMATS) as opened:
        upright = to_rgb(ImageOps.exif_transpose(opened))
    padded = ImageOps.pad(upright, (width, height), Pillow.Resampling.LANCZOS)
    return replace(picture, data=_write_png(padded), suffix=".png", width=width, height=height)


def _look(data: bytes, max_pixels: int, as_sent: bool) -> Image:
    """Look at the header before any pixel is decoded, then decode every one: ComfyUI lets a cut file pass."""
    formats = _formats(data)
    with Pillow.open(BytesIO(data), formats=formats) as header:
        frames = 1 if header.format in ("MPO", _HEIC) else int(getattr(header, "n_frames", 1))
        _check_size(header.size, frames if as_sent else 1, max_pixels)
        header.verify()  # a PNG's checksums; it cannot be read on afterwards
    with Pillow.open(BytesIO(data), formats=formats) as picture:
        picture.load()
        name = str(picture.format)
        ImageOps.exif_transpose(picture, in_place=True)
        width, height = picture.size
        if as_sent and name != _HEIC:
            return Image(data, _SUFFIXES.get(name, f".{name.lower()}"), width, height)
        shown = _in_srgb(picture)
        warnings = () if as_sent else _tell_losses(picture, frames)
        if name in _SUFFIXES and picture.mode in _PLAIN_MODES and not warnings and shown is picture:
            return Image(data, _SUFFIXES[name], width, height)
        return Image(_write_png(shown if as_sent else to_rgb(shown)), ".png", width, height, warnings)


def _formats(data: bytes) -> tuple[str, ...]:
    """What may open it: the reader of HEIC, some 30 MB, is loaded for its own files alone."""
    if not _HEIC_START.match(data):
        return FORMATS
    from pillow_heif import register_heif_opener

    register_heif_opener(thumbnails=False)
    return (*FORMATS, _HEIC)


def _in_srgb(picture: Pillow.Image) -> Pillow.Image:
    """The picture with the colors that a viewer shows, where its own profile is another; else itself.

    ComfyUI knows no profiles: a phone's Display P3 would come out pale.
    """
    profile = picture.info.get("icc_profile")
    if not profile or picture.mode not in ("RGB", "RGBA", "CMYK"):
        return picture
    try:
        own = ImageCms.ImageCmsProfile(BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(own).lower():
            return picture
        mode = "RGBA" if picture.mode == "RGBA" else "RGB"
        changed = ImageCms.profileToProfile(picture, own, ImageCms.createProfile("sRGB"), outputMode=mode)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return picture  # as most viewers do with a profile that they cannot read
    return changed or picture


def _check_size(size: tuple[int, int], frames: int, max_pixels: int) -> None:
    width, height = size
    if width * height * frames > max_pixels:
        times = f" x {frames} frames" if frames > 1 else ""
        raise Unfit("pixels", f"is {width}x{height}{times} pixels")
    if max(size) > MAX_ASPECT * min(size):
        raise Unfit(
            "size",
            f"is {width}x{height} pixels; the long side may be at most {MAX_ASPECT} times the short one: crop it",
        )


def _tell_losses(picture: Pillow.Image, frames: int) -> tuple[str, ...]:
    """What ComfyUI will not be given; nothing for alpha that hides no pixel."""
    losses = []
    if frames > 1:
        losses.append(f"only the first of {frames} frames is used")
    if has_clear_parts(picture):
        losses.append("the transparent parts are filled with white")
    return tuple(losses)


def _write_png(picture: Pillow.Image) -> bytes:
    file = BytesIO()
    picture.save(file, "PNG", compress_level=1, icc_profile=None)
    return file.getvalue()
