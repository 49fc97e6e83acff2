"""The progress bar of a job; silent where nobody watches (standard error is not a terminal)."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from tqdm import tqdm

CLOCK = "{desc} {elapsed}"
BAR = "{desc} {percentage:3.0f}% |{bar}| {elapsed}{postfix}"


class ProgressBar:
    """Shows a job's status and the worker's progress messages.

    A message is {"percent": 42.0, "step": 8, "steps": 20, "node": "Sample", "eta_seconds": 31.0}; any key may be
    missing.
    """

    def __init__(self) -> None:
        self._bar: tqdm[Any] = tqdm(total=100, bar_format=CLOCK, disable=None, dynamic_ncols=True)

    def show(self, status: str, message: object = None) -> None:
        """Draw the job as it stands; until a percentage is known, only the time."""
        progress = message if isinstance(message, Mapping) else {}
        percent = progress.get("percent")
        if isinstance(percent, (int, float)):
            self._bar.bar_format = BAR
            self._bar.n = max(0.0, min(100.0, percent))
        self._bar.set_description_str(" ".join(filter(None, (status, _text(progress.get("node"))))), refresh=False)
        self._bar.set_postfix_str(_details(progress), refresh=False)
        self._bar.refresh()

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()


def _details(progress: Mapping[Any, Any]) -> str:
    step, steps, eta = (progress.get(key) for key in ("step", "steps", "eta_seconds"))
    parts = [f"step {step}/{steps}"] if step is not None and steps is not None else []
    if isinstance(eta, (int, float)):
        parts.append(f"{eta:.0f} s left")
    return ", ".join(parts)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
