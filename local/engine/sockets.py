"""The websocket side: who is connected, what a prompt tells them, and the scenario's lost and doubled messages."""

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from local.engine.queue import Prompt
from local.engine.scenario import Faults
from local.engine.schemas import JSON

_LEAST_PAUSE = 0.1
"""Seconds between two steps told."""
_LEAST_PART = 0.005


@dataclass
class _Socket:
    ws: web.WebSocketResponse
    cut: Callable[[], None]
    left: int | None


class Sockets:
    """`send` may be called from any thread; messages go out in the order of the calls."""

    def __init__(self, faults: Faults, remaining: Callable[[], int]) -> None:
        self.running: tuple[str | None, str | None] = (None, None)
        """Client id and node of what runs; told to a client that connects in the middle of it."""
        self._faults = faults
        self._remaining = remaining
        self._sockets: dict[str, _Socket] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._outbox: asyncio.Queue[tuple[str | None, str]] = asyncio.Queue()

    async def publish(self) -> None:
        """Send what is queued, for ever."""
        self._loop = asyncio.get_running_loop()
        while True:
            client_id, message = await self._outbox.get()
            if self._faults.scenario.silent_socket:
                continue
            for sid, socket in list(self._sockets.items()):
                if client_id is None or sid == client_id:
                    await self._deliver(socket, message)

    def send(self, event: str, data: JSON, client_id: str | None = None) -> None:
        """Queue a message for one client, or for all."""
        if self._loop is not None:
            # The loop is closed once the engine ends; nobody is left to hear then.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._outbox.put_nowait, (client_id, _message(event, data)))

    def send_status(self) -> None:
        """Tell all how long the queue is."""
        self.send("status", {"status": self._queue_status()})

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """GET /ws. A second socket takes the client id over; whichever of the two closes first frees it."""
        if self._faults.scenario.refuse_ws:
            return web.Response(status=503)
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        transport = request.transport
        socket = _Socket(ws, transport.abort if transport else lambda: None, self._faults.socket_life())
        sid = request.query.get("clientId") or uuid.uuid4().hex
        self._sockets[sid] = socket
        try:
            await self._greet(sid, socket)
            async for _message_of_the_client in ws:
                pass
        finally:
            self._sockets.pop(sid, None)
        return ws

    async def close(self) -> None:
        """Close every socket."""
        for socket in list(self._sockets.values()):
            await socket.ws.close()

    async def _greet(self, sid: str, socket: _Socket) -> None:
        await self._deliver(socket, _message("status", {"status": self._queue_status(), "sid": sid}))
        client_id, node = self.running
        if client_id == sid and node is not None:
            await self._deliver(socket, _message("executing", {"node": node}))

    def _queue_status(self) -> JSON:
        return {"exec_info": {"queue_remaining": self._remaining()}}

    async def _deliver(self, socket: _Socket, message: str) -> None:
        for _ in range(2 if self._faults.scenario.duplicate_messages else 1):
            if socket.left == 0:
                return socket.cut()
            with contextlib.suppress(ConnectionError):
                await socket.ws.send_str(message)
            if socket.left is not None:
                socket.left -= 1
        if socket.left == 0:
            socket.cut()
        return None


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
        self._sent: tuple[int, float] | None = None
        """The step of this node that was told last, and when."""

    def start(self) -> None:
        """The prompt begins."""
        self._sockets.running = (self._client, None)
        self._record("execution_start", {})

    def cached(self, nodes: list[str]) -> None:
        """These nodes' results are still there from before."""
        self._record("execution_cached", {"nodes": nodes})

    def enter(self, node: str) -> None:
        """A node begins."""
        self._sent = None
        self._progress_state(node, 0.0, 1.0, "running")
        if self._client is not None:
            self._sockets.running = (self._client, node)
            self._tell("executing", {"node": node, "display_node": node})
        if self._lie == "early":
            self._lie = ""
            self._tell("execution_success", {"timestamp": _now()})
            self._tell("executing", {"node": None})

    def step(self, node: str, value: int, maximum: int) -> None:
        """A node's work has come this far; ComfyUI says the first and the last step, and others after a while."""
        if not self._is_due(value, maximum):
            return
        self._sent = (value, time.monotonic())
        self._progress_state(node, value, maximum, "running")
        data = {"value": value, "max": maximum, "prompt_id": self._prompt.id, "node": node}
        self._sockets.send("progress", data, self._client)

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

    def _is_due(self, value: int, maximum: int) -> bool:
        if self._sent is None or value >= maximum:
            return True
        last, moment = self._sent
        return time.monotonic() - moment >= _LEAST_PAUSE and (value - last) / maximum >= _LEAST_PART

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


def _message(event: str, data: Any) -> str:
    return json.dumps({"type": event, "data": data})


def _now() -> int:
    return int(time.time() * 1000)
