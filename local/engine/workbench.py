"""What a node has at hand while it runs, and the one switch that stops it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from local.engine.folders import Folders

Sample = Callable[[int], None]
"""Take that many sampling steps; raises Interrupted."""


@dataclass(frozen=True)
class Workbench:
    """The same for every node of a prompt but for the sampling, which reports under its node's name."""

    folders: Folders
    sample: Sample


class Interrupted(Exception):
    """The running prompt was told to stop."""


class Interrupt:
    """Requested by any thread, noticed by the worker at its next check; a check uses the request up."""

    def __init__(self) -> None:
        self._requested = threading.Event()
        self._closing = threading.Event()

    def request(self) -> None:
        """Stop what runs."""
        self._requested.set()

    def clear(self) -> None:
        """Drop a request; each prompt starts with this, so one that comes too early is lost, as in ComfyUI."""
        self._requested.clear()

    def close(self) -> None:
        """Stop what runs and all that would run after it."""
        self._closing.set()

    def check(self) -> None:
        """Raise Interrupted if asked to stop."""
        if self._closing.is_set() or self._requested.is_set():
            self._requested.clear()
            raise Interrupted

    def pause(self, seconds: float) -> None:
        """Sleep, but not past the engine's end."""
        self._closing.wait(seconds)

    def hang(self, deaf: bool) -> None:
        """Never return; raise Interrupted when asked to stop, or if deaf only when the engine ends."""
        while True:
            self.pause(0.02)
            if self._closing.is_set() or not deaf:
                self.check()
