"""Prompts on their way: waiting, running, and what became of them."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from local.engine.schemas import JSON

_LONGEST_HISTORY = 10_000


@dataclass(frozen=True)
class Prompt:
    """One queued graph."""

    number: int
    id: str
    graph: JSON
    extra: JSON
    outputs: list[str]

    @property
    def client_id(self) -> str | None:
        """Whose websocket hears of it."""
        return self.extra.get("client_id")

    def row(self) -> list[Any]:
        """As it stands in /queue and /history."""
        return [self.number, self.id, self.graph, self.extra, self.outputs]


class PromptQueue:
    """Thread-safe, first in, first out; `changed` is called after every change of what waits or runs."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._condition = threading.Condition(threading.RLock())
        self._pending: list[Prompt] = []
        self._running: Prompt | None = None
        self._history: dict[str, JSON] = {}
        self._to_free = False
        self._closed = False

    def put(self, number: int, prompt_id: str, graph: JSON, extra: JSON, outputs: list[str]) -> None:
        """Queue a validated graph."""
        with self._condition:
            self._pending.append(Prompt(number, prompt_id, graph, extra, outputs))
            self._condition.notify()
        self._changed()

    def take(self) -> Prompt | None:
        """Wait for the next prompt and start it; None when memory is to be freed or the queue was closed instead."""
        with self._condition:
            self._condition.wait_for(lambda: self._pending or self._to_free or self._closed)
            if self._closed or not self._pending:
                return None
            self._running = prompt = self._pending.pop(0)
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

    def ask_to_free(self) -> None:
        """Have the memory freed between prompts."""
        with self._condition:
            self._to_free = True
            self._condition.notify()

    def take_request_to_free(self) -> bool:
        """Whether memory is to be freed, asked since the last call."""
        with self._condition:
            asked, self._to_free = self._to_free, False
        return asked

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
            return list(self._pending)

    def delete(self, prompt_id: str) -> bool:
        """Take a prompt out if it waits, and say whether it did; one that runs goes on."""
        with self._condition:
            kept = [prompt for prompt in self._pending if prompt.id != prompt_id]
            gone = len(kept) < len(self._pending)
            self._pending = kept
        if gone:
            self._changed()
        return gone

    def history(self, prompt_id: str | None = None) -> JSON:
        """All finished prompts, oldest first, or one of them."""
        with self._condition:
            return {key: entry for key, entry in self._history.items() if prompt_id in (None, key)}
