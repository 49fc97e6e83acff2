"""Files of strangers are decoded in a child process, which is kept warm: one may take minutes, gigabytes or the
process itself, and neither a thread nor a decoder can be ended. Finished clips are, too: any node may have made them.

The child has a limit for its memory, no secrets in its environment, and ends with its parent. Both sides send a
message as two lengths, JSON and bytes.
"""

import contextlib
import json
import os
import resource
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from worker.input import media
from worker.input.media import Video
from worker.input.pixels import Image, Unfit, letterbox, look

SECONDS = 30.0
"""The most that one picture may take: 64 megapixels of PNG take some 3 s."""
TICK = 0.1  # seconds at most until a cancel is seen
PARENT_TICK = 5.0  # seconds at most until the child sees that its parent is gone
_BASE_BYTES = 768_000_000  # of address space: Python, Pillow and its libraries have some 200 MB
_BYTES_PER_PIXEL = 24  # decoded, turned, in RGBA and in RGB at once
VIDEO_PIXELS = 64_000_000  # the memory for a finished video is that of a picture of so many
_HEADER = struct.Struct("!IQ")
_ROOT = Path(__file__).parents[2]


class Decoder:
    """One child for all threads; it does one file after the other."""

    def __init__(self) -> None:
        self._lock, self._child = threading.Lock(), None

    _child: "_Child | None"

    def warm(self) -> None:
        """Start the child, if there is none, without waiting for it."""
        with self._lock:
            self._child = self._child or _Child()

    def ask(self, request: dict[str, Any], data: bytes, check: Callable[[], None]) -> Image:
        """What the child makes of a picture; raises Unfit and, soon after it raises, what `check` does.

        Unfit's kind `slow`: it took longer than SECONDS; `dead`: it took the child's memory or life.
        """
        told, image = self._ask(request, data, check)
        image = data if told["same"] else image
        return Image(image, told["suffix"], told["width"], told["height"], tuple(told["warnings"]))

    def inspect(self, data: bytes, reader: str, check: Callable[[], None]) -> Video:
        """What a finished video holds; raises as `ask` does."""
        told, _ = self._ask({"reader": reader, "max_pixels": VIDEO_PIXELS}, data, check)
        return Video(**told)

    def _ask(self, request: dict[str, Any], data: bytes, check: Callable[[], None]) -> tuple[dict[str, Any], bytes]:
        while not self._lock.acquire(timeout=TICK):
            check()
        try:
            child, self._child = self._child, None
            if child is None or child.has_ended():
                child = _Child()
            try:
                answer = child.ask(request, data, check)
            except Unfit as fault:
                if fault.kind in {"slow", "dead"}:
                    child.kill()
                else:
                    self._child = child
                raise
            except BaseException:
                child.kill()
                raise
            self._child = child
            return answer
        finally:
            self._lock.release()


SHARED = Decoder()
"""The one of this process."""


class _Child:
    """A process that decodes, and this end of the line to it."""

    def __init__(self) -> None:
        self._line, other = socket.socketpair()
        with other:
            environ = {"PYTHONPATH": str(_ROOT), "MALLOC_ARENA_MAX": "2"}
            command = [
                sys.executable,
                "-W",
                "ignore",
                "-m",
                "worker.input.decoder",
                str(other.fileno()),
                str(os.getpid()),
            ]
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, this module
                command, env=environ, cwd=_ROOT, pass_fds=[other.fileno()], stdin=subprocess.DEVNULL
            )
        self._line.settimeout(TICK)

    def has_ended(self) -> bool:
        """Whether it is gone, by itself or by the system's choice."""
        return self._process.poll() is not None

    def kill(self) -> None:
        """End it now."""
        self._process.kill()
        self._process.wait()
        self._line.close()

    def ask(self, request: dict[str, Any], data: bytes, check: Callable[[], None]) -> tuple[dict[str, Any], bytes]:
        end = time.monotonic() + SECONDS

        def wait() -> None:
            check()
            if time.monotonic() > end:
                raise Unfit("slow")

        try:
            _send(self._line, request, data, wait)
            told, content = _receive(self._line, wait)
        except OSError:
            raise Unfit("dead") from None
        if "unfit" in told:
            raise Unfit(told["unfit"], told["text"])
        return told, content


def _send(line: socket.socket, request: dict[str, Any], data: bytes, wait: Callable[[], None]) -> None:
    text = json.dumps(request).encode()
    for part in (_HEADER.pack(len(text), len(data)) + text, data):
        left = memoryview(part)
        while left:
            try:
                left = left[line.send(left) :]
            except TimeoutError:  # noqa: PERF203 - once in a TICK
                wait()


def _receive(line: socket.socket, wait: Callable[[], None]) -> tuple[dict[str, Any], bytes]:
    texts, size = _HEADER.unpack(_read(line, _HEADER.size, wait))
    told: dict[str, Any] = json.loads(_read(line, texts, wait))
    return told, _read(line, size, wait)


def _read(line: socket.socket, size: int, wait: Callable[[], None]) -> bytes:
    data = bytearray(size)
    left = memoryview(data)
    while left:
        try:
            read = line.recv_into(left)
        except TimeoutError:
            wait()
            continue
        if not read:
            raise ConnectionResetError("the other end is gone")
        left = left[read:]
    return bytes(data)


def _answer(request: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    """In the child: what a file is, as a message."""
    max_pixels = request["max_pixels"]
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    limit = _BASE_BYTES + _BYTES_PER_PIXEL * max_pixels + 2 * len(data)
    resource.setrlimit(resource.RLIMIT_AS, (limit if most == resource.RLIM_INFINITY else min(limit, most), most))
    try:
        if "reader" in request:
            return asdict(media.inspect(data, request["reader"])), b""
        if "max_seconds" in request:
            image = media.look(data, max_pixels, request["max_seconds"])
        else:
            image = look(data, max_pixels, as_sent=request["as_sent"])
        if frame := request.get("frame"):
            image = letterbox(image, *frame)
    except Unfit as fault:
        return {"unfit": fault.kind, "text": str(fault)[:500]}, b""
    except Exception as error:  # noqa: BLE001 - one that no later picture shall meet
        return {"unfit": "broken", "text": type(error).__name__}, b""
    same = image.data == data
    shape = {"suffix": image.suffix, "width": image.width, "height": image.height, "warnings": image.warnings}
    return {"same": same, **shape}, b"" if same else image.data


def _serve(line: socket.socket, parent: int) -> None:
    """In the child: one picture after the other, until the parent is gone."""

    def check_parent() -> None:  # what it has forked, as the SDK's heartbeat is, keeps the other end open
        if os.getppid() != parent:
            raise ConnectionResetError("the parent is gone")

    line.settimeout(PARENT_TICK)
    with line, contextlib.suppress(OSError):
        while True:
            request, data = _receive(line, check_parent)
            _send(line, *_answer(request, data), wait=check_parent)


if __name__ == "__main__":
    import av  # noqa: F401 - the first clip is not to wait for it

    _serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
