"""The end of ComfyUI's own output, for the error of a job that it died under. ComfyUI logs no prompts."""

import logging
import re
from pathlib import Path

LINES, LINE_LENGTH = 15, 300
TAIL = 16_384  # bytes: enough for the lines, whatever progress bars stand between them
log = logging.getLogger(__name__)


def read_last_lines(path: Path) -> list[str]:
    """The last lines, each cut to a length; none when there is no such file."""
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - TAIL, 0))
            text = file.read().decode("utf-8", "replace")
    except OSError as error:
        log.warning("ComfyUI's log %s cannot be read: %s", path, error.strerror)
        return []
    # A progress bar ends each of its states with \r; its last state stands for all.
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text).split("\n")]
    return [line[:LINE_LENGTH] for line in lines if line.strip()][-LINES:]
