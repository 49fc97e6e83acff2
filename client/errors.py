"""The one way a run ends badly."""

import re

LONGEST_LINE = 700
_DATA = re.compile(r"[A-Za-z0-9+/=_-]{120,}")


class RunError(Exception):
    """Why the run failed and what to do: one line, free of image data."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


def one_line(text: str) -> str:
    """`text` without line breaks, without long runs of base64, and cut at LONGEST_LINE characters."""
    line = _DATA.sub("[data]", " ".join(text.split()))
    return line if len(line) <= LONGEST_LINE else line[: LONGEST_LINE - 3] + "..."
