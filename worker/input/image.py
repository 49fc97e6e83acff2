"""The caller's picture: fetched or decoded, checked in full, and in a form that ComfyUI reads as a viewer shows it."""

import base64
import contextlib
import logging
import re
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import unquote

from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError

from worker import sdk
from worker.config import MB, Settings
from worker.errors import ImageRejected
from worker.stills import BROKEN, FORMATS, has_clear_parts, to_rgb

FETCH_SECONDS = 30.0
"""A download's time in all, redirects included."""
CHECK_SECONDS = 0.1
SOCKET_SECONDS = 10
"""How long one connect or read of a download may take."""
MAX_ASPECT = 16
"""Long side by short side. CLIPVisionEncode scales the short side to 384 pixels before it crops: 1:1000 costs ComfyUI
1.7 GB of memory, 1:16 some 30 MB; wider than any panorama that survives the crop to a video."""

_SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "MPO": ".jpg", "WEBP": ".webp"}  # MPO: a phone's JPEG with a preview inside
_PLAIN_MODES = ("1", "L", "P", "RGB", "LA", "PA", "RGBA")
_HEADERS = {"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "hunyuan-video-worker"}
_LOOKS_LIKE = (
    (rb"\s*<", "a web page, XML or SVG"),
    (rb"(?s)....ftyp(hei|mif1)", "a HEIC photo"),
    (rb"(?s)....ftyp|\x1aE\xdf\xa3", "a video"),
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
    fetch_seconds: float = FETCH_SECONDS,
    check: Callable[[], None] = lambda: None,
) -> Image:
    """Read a picture from base64, a data URI or an http(s) URL; raises ImageRejected naming `field` and what to do.

    PNG, JPEG and WebP stills keep their bytes; all else becomes a PNG, animations their first frame, and transparency
    is laid on white (LoadImage would show the colours hidden under it). `as_sent` only checks: for a caller's own
    graph, where transparency is LoadImage's mask and an animation its batch. `check` is called again and again during
    a download, which ends if it raises.
    """
    data = _read(source.strip(), field, settings.max_image_bytes, fetch_seconds, check)
    try:
        return _check(data, field, settings, as_sent)
    except UnidentifiedImageError as error:
        raise _rejected(field, f"is {_describe(data)}; send one of {', '.join(FORMATS)}") from error
    except (Pillow.DecompressionBombError, MemoryError) as error:
        raise _rejected(field, f"has too many pixels; {_allowed_pixels(settings)}") from error
    except BROKEN as error:
        logger.info("%s: %d bytes cannot be decoded: %s", field, len(data), error)
        raise _rejected(field, f"is cut short or damaged ({len(data)} bytes); send the whole file again") from error


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
        raise _rejected(field, f"is {width}x{height}{times} pixels; {_allowed_pixels(settings)}")
    if max(size) > MAX_ASPECT * min(size):
        fault = f"is {width}x{height} pixels; the long side may be at most {MAX_ASPECT} times the short one: crop it"
        raise _rejected(field, fault)


def _tell_losses(picture: Pillow.Image, frames: int, field: str) -> tuple[str, ...]:
    """What ComfyUI will not be given; nothing for alpha that hides no pixel."""
    losses = []
    if frames > 1:
        losses.append(f"{field}: only the first of {frames} frames is used")
    if has_clear_parts(picture):
        losses.append(f"{field}: the transparent parts are filled with white")
    return tuple(losses)


def _read(source: str, field: str, limit: float, seconds: float, check: Callable[[], None]) -> bytes:
    is_url = re.match("https?://", source, re.IGNORECASE)
    data = _fetch(source, field, limit, seconds, check) if is_url else _decode_base64(source, field, limit)
    if not data:
        raise _rejected(field, "is empty; send base64, a data URI, or an http(s) URL")
    return data


def _decode_base64(source: str, field: str, limit: float) -> bytes:
    """Standard or URL-safe base64, padded or not, lines allowed, plain or as a data URI (whose type is not trusted)."""
    if source[:5].lower() == "data:":
        header, _, source = source.partition(",")
        if not header.lower().replace(" ", "").endswith(";base64"):
            raise _rejected(field, 'is a data URI without ";base64,"; send data:image/png;base64,...')
        source = unquote(source)
    text = "".join(source.split()).rstrip("=").translate({ord("-"): "+", ord("_"): "/"})
    if len(text) * 3 // 4 > limit:
        raise _rejected(field, _too_large(len(text) * 3 // 4, limit))
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError as error:
        fault = f"is neither base64, nor a data URI, nor an http(s) URL ({len(text)} characters)"
        raise _rejected(field, fault) from error


def _fetch(url: str, field: str, limit: float, seconds: float, check: Callable[[], None]) -> bytes:
    """GET a public URL within `seconds`; what an address was refused for is told to the log only."""
    download = _Download(url, field, limit)
    download.start()
    end = time.monotonic() + seconds
    try:
        while download.is_alive() and time.monotonic() < end:
            download.join(CHECK_SECONDS)
            check()
    finally:
        if overdue := download.is_alive():
            download.stop()
    if overdue:
        raise _rejected(field, f"takes longer than {seconds:g} s to download; send it as base64 or host it nearer")
    if download.data is not None:
        return download.data
    if isinstance(download.fault, ImageRejected):
        raise download.fault
    logger.warning("%s: %s not fetched: %s", field, _without_secrets(url), _without_secrets(str(download.fault)))
    fault = "cannot be fetched from that address; it must be public and answer, or send the picture as base64"
    raise _rejected(field, fault) from None  # requests' errors name the whole URL


class _Download(threading.Thread):
    """One guarded GET in a thread of its own: socket timeouts alone do not end an answer that trickles."""

    def __init__(self, url: str, field: str, limit: float) -> None:
        super().__init__(name="image-download", daemon=True)
        self.data: bytes | None = None
        self.fault: Exception | None = None
        self._guard = sdk.address_guard()
        self._url, self._field, self._limit = url, field, limit
        self._response: Any = None
        self._stopped = False

    def run(self) -> None:
        try:
            self.data = self._get()
        except (ImageRejected, OSError, ValueError) as fault:  # requests' are OSErrors, refused addresses ValueErrors
            self.fault = fault

    def stop(self) -> None:
        """End a read that is under way, so that the thread does not outlive the job."""
        self._stopped = True
        if self._response is not None:
            with contextlib.suppress(OSError, ValueError, RuntimeError):  # it ended by itself meanwhile
                self._response.raw.shutdown()

    def _get(self) -> bytes:
        # The guard's own size limit raises what a refused address raises, so it is left to _read_body.
        get, unlimited = self._guard.safe_get, sys.maxsize
        with get(self._url, timeout=SOCKET_SECONDS, headers=_HEADERS, max_bytes=unlimited) as response:
            self._response = response
            if not response.ok:
                status = response.status_code
                raise _rejected(self._field, f"cannot be fetched: its server answers HTTP {status}; check the URL")
            return b"" if self._stopped else self._read_body(response)

    def _read_body(self, response: Any) -> bytes:
        declared = response.raw.length_remaining or 0
        if declared > self._limit:
            raise _rejected(self._field, _too_large(declared, self._limit))
        try:
            return b"".join(self._guard.iter_content_capped(response, 65536, self._limit))
        except self._guard.SSRFError as error:
            raise _rejected(self._field, _too_large(self._limit + 1, self._limit)) from error


def _rejected(field: str, fault: str) -> ImageRejected:
    return ImageRejected(f"{field} {fault}", field=field)


def _describe(data: bytes) -> str:
    names = (name for start, name in _LOOKS_LIKE if re.match(start, data))
    return next(names, f"no picture that can be read ({len(data)} bytes)")


def _too_large(size: float, limit: float) -> str:
    return f"has {size} bytes or more; at most {limit} are accepted (MAX_IMAGE_MB {limit / MB:g}): send it smaller"


def _allowed_pixels(settings: Settings) -> str:
    return f"at most {settings.max_image_pixels / 1e6:g} megapixels are accepted (MAX_IMAGE_MEGAPIXELS): scale it down"


def _without_secrets(text: str) -> str:
    """The text with the credentials and the queries of all its URLs left out: either may open a bucket."""
    return re.sub(r"[?#]\S*", "", re.sub(r"//[^\s/?#]*@", "//", text))
