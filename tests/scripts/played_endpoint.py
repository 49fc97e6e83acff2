"""An endpoint for the caller's side: answers as a test scripts it, over HTTP, and remembers what it was asked."""

import base64
import contextlib
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "test_runpod_local.py"
Program = Callable[..., "subprocess.CompletedProcess[str]"]
VIDEO, FRAMES = b"video" * 100, [b"frame-%d" % number * 100 for number in range(3)]
PROGRESS = {"percent": 42.0, "step": 8, "steps": 20, "node": "Sample", "eta_seconds": 31.0}


def encode(kind: str, filename: str, data: bytes) -> dict[str, str]:
    return {
        "type": kind,
        "filename": filename,
        "mime_type": "application/octet-stream",
        "encoding": "base64",
        "data": base64.b64encode(data).decode(),
    }


def make_answer(**changes: Any) -> dict[str, Any]:
    frames = [encode("image", f"anything_{number}.jpg", data) for number, data in enumerate(FRAMES)]
    return {
        "status": "success",
        "seed": 7,
        "outputs": [encode("video", "../../x.webm", VIDEO), *frames],
        "width": 848,
        "height": 480,
        "num_frames": 3,
        "fps": 24,
        "timings": {"total": 1.25},
        "warnings": ["this is a preview"],
        **changes,
    }


def state(status: str, **more: Any) -> dict[str, Any]:
    return {"id": "job-1", "status": status, **more}


def completed(**changes: Any) -> dict[str, Any]:
    return state("COMPLETED", delayTime=10, executionTime=2000, output=make_answer(**changes))


@dataclass
class PlayedEndpoint:
    """Answers /run, /runsync and /status with `replies` in order (the last one stays); remembers what it was asked."""

    url: str = ""
    replies: list[dict[str, Any]] = field(default_factory=lambda: [completed()])
    refusals: list[tuple[int, str]] = field(default_factory=list)
    """HTTP statuses and bodies that come first, instead of a reply; (200, "") lets one request pass."""
    seen: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """(method and path, body)"""
    keys: list[str | None] = field(default_factory=list)

    def paths(self) -> list[str]:
        return [path for path, _ in self.seen]

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, str]:
        self.seen.append((path, body))
        refused, text = self.refusals.pop(0) if self.refusals else (200, "")
        if refused != 200 or text:
            return refused, text
        if "/cancel/" in path:
            return 200, json.dumps(state("CANCELLED"))
        if path.endswith("/health"):
            return 200, json.dumps({"jobs": {"completed": 4, "inQueue": 2}, "workers": {"idle": 1}, "more": 1})
        return 200, json.dumps(self.replies.pop(0) if len(self.replies) > 1 else self.replies[0])


@contextlib.contextmanager
def played_endpoint() -> Iterator[PlayedEndpoint]:
    """One on a free port of this machine."""
    played = PlayedEndpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            played.keys.append(self.headers.get("Authorization"))
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, text = played.answer(f"{self.command} {self.path}", json.loads(body or "{}"))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        do_POST = do_GET  # noqa: N815 - the base class's name

        def log_message(self, *arguments: object) -> None:
            """Keep the tests' output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    played.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield played
    server.shutdown()
    server.server_close()
    thread.join()


def assert_fails(done: "subprocess.CompletedProcess[str]", *words: str) -> None:
    """Exit code 1, and one line on standard error that holds all of `words`."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert [word for word in words if word not in done.stderr] == [], done.stderr
