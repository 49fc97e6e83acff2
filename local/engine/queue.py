"""Prompts on their way: waiting, running, and what became of them."""

import heapq
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from local.engine.schemas import JSON

_LONGEST_HISTORY = 10_000


@dataclass(order=True)
class Prompt:
    """One queued graph; lower numbers run first."""

    number: float
    arrival: int
    id: str = field(compare=False)
    graph: JSON = field(compare=False)
    extra: JSON = field(compare=False)
    outputs: list[str] = field(compare=False)

    @property
    def client_id(self) -> str | None:
        """Whose websocket hears of it."""
        return self.extra.get("client_id")

    def row(self) -> list[Any]:
        """As it stands in /queue and /history."""
        return [self.number, self.id, self.graph, self.extra, self.outputs]


class PromptQueue:
    """Thread-safe; `changed` is called after every change of what waits or runs."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._condition = threading.Condition(threading.RLock())
        self._pending: list[Prompt] = []
        self._running: Prompt | None = None
        self._history: dict[str, JSON] = {}
        self._flags: JSON = {}
        self._arrivals = 0
        self._closed = False

    def put(self, number: float, prompt_id: str, graph: JSON, extra: JSON, outputs: list[str]) -> None:
        """Queue a validated graph."""
        with self._condition:
            self._arrivals += 1
            heapq.heappush(self._pending, Prompt(number, self._arrivals, prompt_id, graph, extra, outputs))
            self._condition.notify()
        self._changed()

    def take(self) -> Prompt | None:
        """Wait for the next prompt and start it; None when flags were set or the queue was closed instead."""
        with self._condition:
            self._condition.wait_for(lambda: self._pending or self._flags or self._closed)
            if self._closed or not self._pending:
                return None
            self._running = prompt = heapq.heappop(self._pending)
        self._changed()
        return prompt

    def finish(self, prompt: Prompt, outcome: JSON | None) -> None:
        """End the running prompt; None leaves no history of it."""
        with self._condition:
            self._running = None
            if outcome is not None:
                self._history[prompt.id] = {"prompt": prompt.row(), **outcome}
            while len(self._history) > _LONGEST_HISTORY:
                del self._history[next(iter(self._history))]
        self._changed()

    def close(self) -> None:
        """Let take return None for good."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    @property
    def closed(self) -> bool:
        """Whether the engine is ending."""
        return self._closed

    def set_flag(self, name: str, value: Any) -> None:
        """Ask the worker for something between prompts."""
        with self._condition:
            self._flags[name] = value
            self._condition.notify()

    def take_flags(self) -> JSON:
        """What has been asked for since the last call."""
        with self._condition:
            flags, self._flags = self._flags, {}
        return flags

    def remaining(self) -> int:
        """How many wait or run."""
        with self._condition:
            return len(self._pending) + (self._running is not None)

    def running(self) -> list[Prompt]:
        """The running prompt, if any."""
        with self._condition:
            return [self._running] if self._running else []

    def pending(self) -> list[Prompt]:
        """The waiting prompts, next first."""
        with self._condition:
            return sorted(self._pending)

    def delete(self, prompt_id: str) -> None:
        """Take a prompt out if it waits; one that runs goes on."""
        self._keep(lambda prompt: prompt.id != prompt_id)

    def clear(self) -> None:
        """Take out all that wait."""
        self._keep(lambda _prompt: False)

    def history(self, prompt_id: str | None = None, newest: int | None = None) -> JSON:
        """All finished prompts, or one of them, or the newest ones, oldest first."""
        with self._condition:
            if prompt_id is not None:
                return {key: entry for key, entry in self._history.items() if key == prompt_id}
            entries = list(self._history.items())
        return dict(entries[-newest:] if newest else entries)

    def forget(self, prompt_id: str | None = None) -> None:
        """Delete one finished prompt from history, or all."""
        with self._condition:
            if prompt_id is None:
                self._history.clear()
            else:
                self._history.pop(prompt_id, None)

    def _keep(self, wanted: Callable[[Prompt], bool]) -> None:
        with self._condition:
            kept = [prompt for prompt in self._pending if wanted(prompt)]
            gone = len(self._pending) - len(kept)
            self._pending = kept
            heapq.heapify(self._pending)
        if gone:
            self._changed()
