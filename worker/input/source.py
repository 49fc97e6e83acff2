"""A caller's file as bytes: from base64, a data URI or an http(s) URL, within a size and a time."""

import binascii
import contextlib
import logging
import re
import sys
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

from worker import sdk
from worker.config import MB
from worker.errors import ImageRejected
from worker.logs import without_secrets

FETCH_SECONDS = 30.0
"""A download's time in all, redirects included."""
CHECK_SECONDS = 0.1
SOCKET_SECONDS = 10
"""How long one connect or read of a download may take."""

_HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "hunyuan-video-worker"}
_PREFIX = re.compile(r"(?s).{0,300}base64\s*[,:]", re.IGNORECASE)
_PATH = re.compile(r"(?:[A-Za-z]:|[./~\\])?[^\n\r:]{0,250}\.[A-Za-z0-9]{2,5}")
log = logging.getLogger(__name__)


def read(
    source: str, field: str, limit: float, check: Callable[[], None] = lambda: None, seconds: float = FETCH_SECONDS
) -> bytes:
    """The file that `source` is or names, of at most `limit` bytes; raises ImageRejected naming `field` and the fix.

    `check` is called again and again during a download, which ends if it raises.
    """
    source = source.strip().strip("\ufeff\"'`").strip()
    if re.match("https?://", source, re.IGNORECASE):
        if len(source.split()) > 1:
            raise rejected(field, "is a URL with a space: write it as %20")
        data = _fetch(source, field, limit, seconds, check)
    else:
        data = _decode(source, field, limit)
    if not data:
        raise rejected(field, "is empty; send base64, a data URI, or an http(s) URL")
    return data


def rejected(field: str, fault: str) -> ImageRejected:
    """The error for a field's file."""
    return ImageRejected(f"{field} {fault}", field=field)


def too_large(size: float, limit: float) -> str:
    """The fault of a file of `size` bytes or more."""
    return (
        f"has {size:.0f} bytes or more; at most {limit:.0f} are accepted (MAX_IMAGE_MB {limit / MB:g}): send it smaller"
    )


def _decode(source: str, field: str, limit: float) -> bytes:
    """Base64 of any kind, with or without a data URI's beginning, whose type is not trusted."""
    prefix = _PREFIX.match(source)
    if prefix is None and source[:5].lower() == "data:":
        raise rejected(field, 'is a data URI without ";base64,"; send data:image/png;base64,...')
    text = _heal(source[prefix.end() :] if prefix else source)
    if (size := len(text) * 3 // 4) > limit:
        raise rejected(field, too_large(size, limit))
    try:
        return _decode_strictly(text)
    except ValueError as error:
        if _PATH.fullmatch(source):
            fault = "is a file's name or path, or a URL without https://: send the file itself as base64"
            raise rejected(field, fault) from error
        fault = f"is neither base64, nor a data URI, nor an http(s) URL ({len(text)} characters)"
        raise rejected(field, fault) from error


def _decode_strictly(text: str) -> bytes:
    """Base64 without padding; ValueError for anything else. b64decode's own check takes longer than the decoding."""
    data = binascii.a2b_base64(text + "=" * (-len(text) % 4))
    if len(text) % 4 == 1 or len(data) != len(text) * 3 // 4:  # it leaves out what is not base64
        raise ValueError
    return data


def _heal(text: str) -> str:
    """Base64 as it was before a form, a shell or a program wrote it down: standard alphabet, one line, no padding."""
    if text[:2] in ("b'", 'b"'):  # Python's str() of bytes
        text = text[2:]
    text = text.strip("\"'` \t\r\n")
    if "%" in text:
        text = unquote(text)
    if "\\" in text:  # JSON written into JSON
        text = re.sub(r"\\[rn]", "", text).replace("\\/", "/")
    if any(mark in text for mark in "\r\n\t"):
        text = "".join(line.strip() for line in re.split(r"[\r\n\t]+", text))
    if " " in text:
        parts = text.split(" ")
        # A shell joins lines of one length by spaces; a form turns each plus sign into one.
        lines = len({len(part) for part in parts[:-1]}) == 1 and len(parts[0]) >= 16 and len(parts[-1]) <= len(parts[0])
        text = ("" if lines else "+").join(parts)
    return text.rstrip("=").replace("-", "+").replace("_", "/")


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
        raise rejected(
            field, f"takes longer than {seconds:g} s to download; send it as base64 or host it on a faster server"
        )
    if download.data is not None:
        return download.data
    if isinstance(download.fault, ImageRejected):
        raise download.fault
    log.warning("%s: %s not fetched: %s", field, without_secrets(url), without_secrets(str(download.fault)))
    fault = "cannot be fetched from that address; use a public URL that responds, or send the file as base64"
    raise rejected(field, fault) from None  # requests' errors name the whole URL


class _Download(threading.Thread):
    """One guarded GET in a thread of its own: socket timeouts alone do not end an answer that trickles."""

    def __init__(self, url: str, field: str, limit: float) -> None:
        super().__init__(name="download", daemon=True)
        self.data: bytes | None = None
        self.fault: Exception | None = None
        self._guard = sdk.address_guard()
        self._url, self._field, self._limit = url, field, limit
        self._response: Any = None
        self._stopped = False

    def run(self) -> None:
        try:
            self.data = self._get()
        except Exception as fault:  # noqa: BLE001 - requests' and urllib3's, and those of addresses refused
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
                raise rejected(self._field, f"cannot be fetched: its server returned HTTP {status}; check the URL")
            return b"" if self._stopped else self._read_body(response)

    def _read_body(self, response: Any) -> bytes:
        declared = response.raw.length_remaining or 0
        if declared > self._limit:
            raise rejected(self._field, too_large(declared, self._limit))
        try:
            return b"".join(self._guard.iter_content_capped(response, 65536, self._limit))
        except self._guard.SSRFError as error:
            raise rejected(self._field, too_large(self._limit + 1, self._limit)) from error
