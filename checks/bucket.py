"""The bucket for finished files, if there is one."""

from __future__ import annotations

import secrets
import threading
import urllib.request
from typing import TYPE_CHECKING

from checks.place import Finding, Place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.config import Bucket

KEY = "verify_setup"
"""The object that is written, each time anew."""
TIMEOUT = 30.0


def check_bucket(place: Place) -> Iterator[Finding]:
    """What is written to the bucket can be read by the URL that a caller would get."""
    from worker import config
    from worker.errors import OutputFailed

    bucket = config.read(place.environ).bucket
    if bucket is None:
        yield Finding("bucket", "not applicable", "no bucket is set: files come in the reply")
        return
    if place.quick:
        yield place.skip("bucket")
        return
    advice = "correct the BUCKET_ settings, or unset them all: files then come in the reply"
    try:
        whole = _write_and_read(bucket)
    except OutputFailed as error:
        yield Finding("bucket", "fail", error.message, advice)
    except OSError as error:
        yield Finding("bucket", "fail", f"the written file cannot be read at its URL: {error}", advice)
    else:
        found = f"{KEY} was written and {'read again' if whole else 'read, but holds something else'}"
        yield Finding("bucket", "ok", found) if whole else Finding("bucket", "fail", found, advice)


def _write_and_read(bucket: Bucket) -> bool:
    """Whether the bucket gives back what was put into it; raises OutputFailed or OSError, neither with the URL."""
    from worker.output import storage
    from worker.output.file import Item

    content = secrets.token_bytes(32)
    item = Item(KEY, content, "application/octet-stream")
    (url,) = storage.upload(bucket, [item], threading.Event())
    with urllib.request.build_opener().open(url, timeout=TIMEOUT) as response:
        return bool(response.read() == content)
