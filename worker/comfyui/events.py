"""ComfyUI's websocket as a stream of events about one client's prompts.

The socket tells progress and nothing else is taken from it: how a prompt ended is read from history. A socket that
drops or falls silent is opened anew, with the same client id, once the old one is closed: while two are open under one
id, closing the first silences the second.
"""

import contextlib
import json
import logging
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import websocket

from worker.comfyui import outputs
from worker.comfyui.outputs import SavedFile

log = logging.getLogger(__name__)

OPEN_TIMEOUT = 2.0
SILENCE = 30.0  # seconds without a message after which the socket is opened anew
RETRY = 1.0  # seconds between attempts to open it

_FINAL = frozenset({"execution_success", "execution_error", "execution_interrupted"})


@dataclass(frozen=True)
class Event:
    """Something ComfyUI says about a prompt."""

    kind: str
    """`cached`, `node` (it starts), `step` (in a node), `saved`, `ending` or `ended` (history has it)"""
    node: str | None = None
    step: int = 0
    steps: int = 0
    nodes: tuple[str, ...] = field(default=())
    """of `cached`: the nodes that need not run"""
    files: tuple[SavedFile, ...] = field(default=())
    """of `saved`: what a node has written, which history never tells of a prompt that fails later"""


class Events:
    """The events of `client_id`; a context manager that keeps the socket open as well as it can."""

    def __init__(self, url: str, client_id: str) -> None:
        self._url = f"ws{url.removeprefix('http')}/ws?clientId={client_id}"
        self._socket: websocket.WebSocket | None = None
        self._heard = self._tried = time.monotonic()
        self._open()

    def __enter__(self) -> "Events":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @property
    def connected(self) -> bool:
        """Whether a socket is open, as far as is known."""
        return self._socket is not None

    def next(self, prompt_id: str, timeout: float) -> Event | None:
        """Wait up to `timeout` seconds for something about `prompt_id`; None when there is nothing."""
        end = time.monotonic() + timeout
        while (left := end - time.monotonic()) > 0:
            if self._socket is None or time.monotonic() - self._heard > SILENCE:
                self._reopen()
            if self._socket is None:
                time.sleep(min(left, RETRY / 10))
                continue
            message = self._receive(left)
            event = _read(message, prompt_id) if message else None
            if event or not self.connected:
                return event
        return None

    def _receive(self, timeout: float) -> str | None:
        assert self._socket is not None
        self._socket.settimeout(timeout)
        try:
            message = self._socket.recv()
        except websocket.WebSocketTimeoutException:
            return None
        except (websocket.WebSocketException, OSError) as error:
            log.info("ComfyUI's websocket dropped: %s", type(error).__name__)
            self._close()
            return None
        self._heard = time.monotonic()
        return message if isinstance(message, str) and message else None

    def _reopen(self) -> None:
        if time.monotonic() - self._tried >= RETRY:
            self._close()
            self._open()

    def _open(self) -> None:
        self._tried = self._heard = time.monotonic()
        options = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),)
        try:
            self._socket = websocket.create_connection(
                self._url,
                timeout=OPEN_TIMEOUT,
                sockopt=options,
                skip_utf8_validation=True,  # in pure Python it takes longer than all else here; json checks anyway
            )
        except (websocket.WebSocketException, OSError) as error:
            log.info("ComfyUI's websocket does not open: %s", type(error).__name__)

    def _close(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(websocket.WebSocketException, OSError):
                self._socket.close(timeout=0.5)
            self._socket = None


def _read(text: str, prompt_id: str) -> Event | None:
    """One message as an event, if it is about the prompt and of use."""
    try:
        message = json.loads(text)
        kind, data = message["type"], message["data"]
        return _translate(kind, data) if data.get("prompt_id") == prompt_id else None
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError):
        log.info("ComfyUI's websocket sent something unreadable")
        return None


def _translate(kind: str, data: Mapping[str, Any]) -> Event | None:
    if kind == "progress":
        return Event("step", str(data["node"]), int(data["value"]), int(data["max"]))
    if kind == "executing" and data["node"] is not None:
        return Event("node", str(data["node"]))
    if kind == "execution_cached":
        return Event("cached", nodes=tuple(map(str, data["nodes"])))
    if kind == "executed":
        return Event("saved", files=outputs.read({str(data["node"]): data["output"]}).files)
    if kind in _FINAL:
        return Event("ending")
    return Event("ended") if kind == "executing" else None
