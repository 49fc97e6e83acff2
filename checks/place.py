"""The container or laptop that is looked at, and what a check finds there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[1]

State = Literal["ok", "warning", "fail", "not applicable"]


@dataclass(frozen=True)
class Finding:
    """One line of the result."""

    check: str
    state: State
    found: str
    advice: str = ""
    """What to do, where there is something to do."""


@dataclass(frozen=True)
class Place:
    """Where the checks run, and how thorough they are."""

    environ: Mapping[str, str]
    lock: Path
    """The requirements that the packages must match."""
    quick: bool
    """Leave out what takes seconds."""
    for_runpod: bool = False
    """Judge as for a worker of real clips, wherever this is."""

    @property
    def on_platform(self) -> bool:
        """Whether this is a machine of RunPod's."""
        return bool(self.environ.get("RUNPOD_POD_ID") or self.environ.get("RUNPOD_ENDPOINT_ID"))

    @property
    def previews(self) -> bool:
        """Whether handler.py starts the preview engine where no ComfyUI answers; the image does not contain it."""
        has_queue = bool(self.environ.get("RUNPOD_WEBHOOK_GET_JOB"))
        return not self.for_runpod and not self.on_platform and not has_queue and (ROOT / "local" / "engine").is_dir()

    def lack(self, check: str, found: str, advice: str) -> Finding:
        """Something is missing that only a worker of real clips needs."""
        if self.previews:
            return Finding(check, "not applicable", found)
        return Finding(check, "fail", found, advice)

    def fault(self, check: str, found: str, advice: str) -> Finding:
        """Something is wrong that ends a worker on the platform, and is worth knowing elsewhere."""
        return Finding(check, "fail" if self.on_platform or self.for_runpod else "warning", found, advice)

    def skip(self, check: str) -> Finding:
        """A check that takes seconds, left out."""
        return Finding(check, "not applicable", "skipped by --quick")
