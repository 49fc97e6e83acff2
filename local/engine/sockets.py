"""The websocket side: who is connected, what each is sent, and the scenario's lost and doubled messages."""

import asyncio
import contextlib
import json
import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from local.engine.scenario import Faults
from local.engine.schemas import JSON

FEATURES: JSON = {
    "supports_preview_metadata": True,
    "max_upload_size": 104857600,
    "extension": {"manager": {"supports_v4": True}},
}
_PREVIEW = 1
_PREVIEW_WITH_METADATA = 4
_JPEG = 1


@dataclass
class _Socket:
    ws: web.WebSocketResponse
    cut: Callable[[], None]
    left: int | None
    features: JSON = field(default_factory=dict)


class Sockets:
    """`send` and `send_preview` may be called from any thread; messages go out in the order of the calls."""

    def __init__(self, faults: Faults, remaining: Callable[[], int]) -> None:
        self.running: tuple[str | None, str | None] = (None, None)
        """Client id and node of what runs; told to a client that connects in the middle of it."""
        self._faults = faults
        self._remaining = remaining
        self._sockets: dict[str, _Socket] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._outbox: asyncio.Queue[tuple[str | None, Callable[[_Socket], str | bytes]]] = asyncio.Queue()

    async def publish(self) -> None:
        """Send what is queued, for ever."""
        self._loop = asyncio.get_running_loop()
        while True:
            client_id, write = await self._outbox.get()
            if self._faults.scenario.silent_socket:
                continue
            for sid, socket in list(self._sockets.items()):
                if client_id is None or sid == client_id:
                    await self._deliver(socket, write(socket))

    def send(self, event: str, data: JSON, client_id: str | None = None) -> None:
        """Queue a message for one client, or for all."""
        text = _message(event, data)
        self._post(client_id, lambda _socket: text)

    def send_status(self) -> None:
        """Tell all how long the queue is."""
        self.send("status", {"status": self._queue_status()})

    def send_preview(self, jpeg: bytes, about: JSON, client_id: str | None) -> None:
        """Queue a picture of what is being sampled; clients that asked for it get `about` with it."""
        plain = struct.pack(">II", _PREVIEW, _JPEG) + jpeg
        header = json.dumps({**about, "image_type": "image/jpeg"}).encode()
        full = struct.pack(">II", _PREVIEW_WITH_METADATA, len(header)) + header + jpeg
        self._post(client_id, lambda socket: full if socket.features.get("supports_preview_metadata") else plain)

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
            await self._listen(socket)
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

    async def _listen(self, socket: _Socket) -> None:
        first = True
        async for message in socket.ws:
            if first and message.type == WSMsgType.TEXT:
                with contextlib.suppress(ValueError, AttributeError):
                    data = json.loads(message.data)
                    if data.get("type") == "feature_flags":
                        socket.features = data.get("data", {})
                        await self._deliver(socket, _message("feature_flags", FEATURES))
                first = False

    def _queue_status(self) -> JSON:
        return {"exec_info": {"queue_remaining": self._remaining()}}

    def _post(self, client_id: str | None, write: Callable[[_Socket], str | bytes]) -> None:
        if self._loop is not None:
            # The loop is closed once the engine ends; nobody is left to hear then.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._outbox.put_nowait, (client_id, write))

    async def _deliver(self, socket: _Socket, message: str | bytes) -> None:
        for _ in range(2 if self._faults.scenario.duplicate_messages else 1):
            if socket.left == 0:
                return socket.cut()
            with contextlib.suppress(ConnectionError):
                await (socket.ws.send_str(message) if isinstance(message, str) else socket.ws.send_bytes(message))
            if socket.left is not None:
                socket.left -= 1
        if socket.left == 0:
            socket.cut()
        return None


def _message(event: str, data: Any) -> str:
    return json.dumps({"type": event, "data": data})
