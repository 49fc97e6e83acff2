"""Logging: one line per fact, the job's id on each line, never image data, prompts or signed URLs."""

import contextlib
import contextvars
import logging
import sys
from collections.abc import Iterator

_job_id: contextvars.ContextVar[str] = contextvars.ContextVar("job_id", default="-")


class _JobId(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.job_id = _job_id.get()
        return True


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
    stream.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(job_id)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [stream]
    root.setLevel(level)
    for noisy in ("urllib3", "PIL", "websocket", "asyncio", "aiohttp.access", "boto3", "botocore", "s3transfer"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
