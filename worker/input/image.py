"""The caller's picture: fetched, checked in full, and in a form that ComfyUI reads as a viewer shows it."""

import logging
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from worker.config import Settings
from worker.input import decoder, media
from worker.input import source as sources
from worker.input.decoder import SHARED
from worker.input.pixels import READABLE, Image, Unfit
from worker.input.source import rejected

__all__ = ["Image", "letterbox", "load", "warm"]

_LOOKS_LIKE = (
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
log = logging.getLogger(__name__)
warm = SHARED.warm
"""Have what decodes ready before the first picture comes."""


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
    is laid on white (LoadImage would show the colors hidden under it). `as_sent` only checks, and makes a PNG of HEIC
    alone: for a caller's own graph, where transparency is LoadImage's mask and an animation its batch, and where a
    video or a sound is taken, for LoadVideo and LoadAudio. `check` is called again and again while this downloads or
    decodes, and ends it if it raises.
    """
    most = max(settings.max_image_bytes, settings.max_media_bytes) if as_sent else settings.max_image_bytes
    data = sources.read(source, field, most, check, fetch_seconds)
    request: dict[str, Any] = {"max_pixels": settings.max_image_pixels, "as_sent": as_sent}
    if as_sent and media.find_suffix(data):
        request["max_seconds"] = settings.max_media_seconds
    elif len(data) > settings.max_image_bytes:
        raise rejected(field, sources.too_large(len(data), settings.max_image_bytes))
    try:
        image = SHARED.ask(request, data, check)
    except Unfit as fault:
        raise rejected(field, _explain(fault, data, field, settings)) from None
    return replace(image, warnings=tuple(f"{field}: {warning}" for warning in image.warnings))


def letterbox(picture: Image, width: int, height: int, settings: Settings, check: Callable[[], None]) -> Image:
    """The whole picture in a frame of that size, in pixels, with black bars at two sides; raises ImageRejected."""
    request = {"max_pixels": settings.max_image_pixels, "as_sent": True, "frame": [width, height]}
    try:
        return replace(SHARED.ask(request, picture.data, check), warnings=picture.warnings)
    except Unfit as fault:
        raise rejected("image", _explain(fault, picture.data, "image", settings)) from None


def _explain(fault: Unfit, data: bytes, field: str, settings: Settings) -> str:
    """A fault in the caller's words; what a decoder says of it is for the log."""
    log.info("%s: %d bytes are not taken: %s %s", field, len(data), fault.kind, fault)
    allowed = f"at most {settings.max_image_pixels / 1e6:g} megapixels are accepted (MAX_IMAGE_MEGAPIXELS)"
    return {
        "size": str(fault),
        "pixels": f"{str(fault) or 'has too many pixels'}; {allowed}: scale it down",
        "unknown": f"is {_describe(data)}; send one of {', '.join(READABLE)}",
        "slow": f"takes longer than {decoder.SECONDS:g} s to decode; send it smaller, or as a plain PNG or JPEG",
        "dead": f"cannot be decoded within the memory it may take; {allowed}: send it smaller, or as PNG or JPEG",
    }.get(fault.kind, f"is cut short or damaged ({len(data)} bytes); send the whole file again")


def _describe(data: bytes) -> str:
    names = (name for start, name in _LOOKS_LIKE if re.match(start, data))
    return next(names, f"not a readable image ({len(data)} bytes)")
