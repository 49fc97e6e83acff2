"""Logging: one line per fact, the job's id on each line, never image data, prompts or signed URLs.

What a caller sent can be part of a message and never a line of its own: control characters are escaped, texts are cut,
and URLs lose what may open something.
"""

import contextlib
import contextvars
import logging
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

LONGEST = 2000  # characters of a message
SHOWN_TEXT = 300  # characters of an exception's text
SHOWN_FRAMES = 6  # of the places that an exception came through
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_USER = re.compile(r"//[^\s/?#]*@")
_QUERY = re.compile(r"[?#]\S+")

_job_id: contextvars.ContextVar[str] = contextvars.ContextVar("job_id", default="-")


class _JobId(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.job_id = one_line(_job_id.get(), 128)
        return True


class _Formatter(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        record.message = one_line(record.message, LONGEST)
        return super().formatMessage(record)

    def formatException(  # noqa: N802 - logging's name
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    ) -> str:
        lines: list[str] = []
        error = ei[1]
        while error is not None and len(lines) < LONGEST // 100:
            lines.append(brief(error))
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\n".join(f"    {line}" for line in lines)


@contextlib.contextmanager
def job_context(job_id: str) -> Iterator[None]:
    """Put `job_id` on every line logged inside, also from threads started with a copy of the context."""
    token = _job_id.set(job_id)
    try:
        yield
    finally:
        _job_id.reset(token)


def setup(level: str) -> None:
    """Log to standard output at `level` (DEBUG, INFO, WARNING, ERROR)."""
    stream = logging.StreamHandler(sys.stdout)
    stream.addFilter(_JobId())
    stream.setFormatter(_Formatter("%(asctime)s %(levelname)-7s %(job_id)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [stream]
    root.setLevel(level)
    for noisy in ("urllib3", "PIL", "websocket", "asyncio", "aiohttp.access", "boto3", "botocore", "s3transfer"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def one_line(text: str, longest: int) -> str:
    """The text as a part of a line: control characters escaped, URLs without user, password and query, cut."""
    cut = text if len(text) <= longest else text[: longest - 1] + "…"
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], without_secrets(cut))


def without_secrets(text: str) -> str:
    """The text with the credentials and the queries of its URLs left out, whole or cut: either may open a bucket."""
    return _QUERY.sub("?…", _USER.sub("//", text))


def brief(error: BaseException) -> str:
    """An exception in one line: its kind, the beginning of its text, and the last places that it came through."""
    frames = traceback.extract_tb(error.__traceback__)[-SHOWN_FRAMES:]
    places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an exception's own text can fail
        text = "?"
    return f"{type(error).__name__}: {one_line(text, SHOWN_TEXT)} ({places})"
