"""A tiny job before the first one of the queue: ComfyUI loads the models for it and keeps them."""

import base64
import dataclasses
import io
import logging
import threading
import time

from PIL import Image

from worker import job
from worker.config import Settings

SIDE = 64  # pixels: the least that a job may ask for
log = logging.getLogger(__name__)


def run(settings: Settings, end: float) -> None:
    """Make a clip of one frame, as any job makes its clip, by `end`, a time.monotonic(); raises WorkerError."""
    start = time.monotonic()
    wanted = {"image": _picture(), "prompt": "still", "width": SIDE, "height": SIDE, "num_frames": 1, "steps": 1}
    limited = dataclasses.replace(settings, job_timeout=max(end - start, 1.0), bucket=None)
    job.run({"id": "warm-up", "input": wanted}, limited, lambda _: None, threading.Event())
    log.info("warm-up: a clip of one frame took %.1f s", time.monotonic() - start)


def _picture() -> str:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((SIDE, SIDE)).convert("RGB").save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
