"""What one prompt tells its websocket, and which of it its history keeps."""

import time
from typing import Any

from local.engine.queue import Prompt
from local.engine.schemas import JSON
from local.engine.sockets import Sockets


class Reporter:
    """One prompt's voice. Without a client id it can only speak to all, and ComfyUI lets it say little then."""

    def __init__(self, prompt: Prompt, sockets: Sockets, lie: str = "") -> None:
        self.messages: list[list[Any]] = []
        """What history keeps: start, cached, and how it ended."""
        self._prompt = prompt
        self._client = prompt.client_id
        self._sockets = sockets
        self._lie = lie
        self._states: JSON = {}

    def start(self) -> None:
        """The prompt begins."""
        self._sockets.running = (self._client, None)
        self._record("execution_start", {})

    def cached(self, nodes: list[str]) -> None:
        """These nodes' results are still there from before."""
        self._record("execution_cached", {"nodes": nodes})

    def enter(self, node: str) -> None:
        """A node begins."""
        self._progress_state(node, 0.0, 1.0, "running")
        if self._client is not None:
            self._sockets.running = (self._client, node)
            self._tell("executing", {"node": node, "display_node": node})
        if self._lie == "early":
            self._lie = ""
            self._tell("execution_success", {"timestamp": _now()})
            self._tell("executing", {"node": None})

    def step(self, node: str, value: int, maximum: int) -> None:
        """A node's work has come this far."""
        self._progress_state(node, value, maximum, "running")
        data = {"value": value, "max": maximum, "prompt_id": self._prompt.id, "node": node}
        self._sockets.send("progress", data, self._client)

    def preview(self, node: str, jpeg: bytes) -> None:
        """A picture of what is being sampled."""
        self._sockets.send_preview(jpeg, self._about(node), self._client)

    def output(self, node: str, ui: JSON | None) -> None:
        """An output node has something to show."""
        self._tell("executed", {"node": node, "display_node": node, "output": ui})

    def leave(self, node: str) -> None:
        """A node is done."""
        maximum = self._states.get(node, {}).get("max", 1)
        self._progress_state(node, maximum, maximum, "finished")

    def succeed(self) -> None:
        """All is done."""
        self._record("execution_success", {})

    def fail(self, details: JSON) -> None:
        """A node raised an exception."""
        self._record("execution_error", details, told_as="execution_success" if self._lie == "failure" else None)

    def interrupt(self, details: JSON) -> None:
        """The prompt was stopped: the one ending that everybody hears of."""
        self._record("execution_interrupted", details, broadcast=True)

    def end(self) -> None:
        """The last message: nothing of this prompt runs any more."""
        self._tell("executing", {"node": None})

    def stop(self) -> None:
        """No node runs any more."""
        self._sockets.running = (self._client, None)

    def _record(self, event: str, data: JSON, told_as: str | None = None, broadcast: bool = False) -> None:
        data = {"prompt_id": self._prompt.id, **data, "timestamp": _now()}
        self.messages.append([event, data])
        if self._client is not None or broadcast:
            self._sockets.send(told_as or event, data, self._client)

    def _tell(self, event: str, data: JSON) -> None:
        if self._client is not None:
            self._sockets.send(event, {**data, "prompt_id": self._prompt.id}, self._client)

    def _progress_state(self, node: str, value: float, maximum: float, state: str) -> None:
        self._states[node] = {"value": value, "max": maximum, "state": state, **self._about(node)}
        self._sockets.send("progress_state", {"prompt_id": self._prompt.id, "nodes": self._states}, self._client)

    def _about(self, node: str) -> JSON:
        return {
            "node_id": node,
            "prompt_id": self._prompt.id,
            "display_node_id": node,
            "parent_node_id": None,
            "real_node_id": node,
        }


def _now() -> int:
    return int(time.time() * 1000)
