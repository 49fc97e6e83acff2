"""A server in ComfyUI's place that says of a prompt's outcome whatever it is told to, over real HTTP."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

STATS = {"system": {"comfyui_version": "0.33.0"}, "devices": [{"name": "cuda", "vram_total": 80e9}]}
SUCCESS = {"status_str": "success", "completed": True, "messages": [["execution_success", {}]]}


@dataclass
class OddComfyUI:
    """What it answers: a prompt's `outputs` and `status`, each file, and instead of any route's answer `answers`."""

    outputs: Any = None
    status: Any = field(default_factory=lambda: SUCCESS)
    files: Mapping[str, bytes] = field(default_factory=dict)
    answers: Mapping[str, Any] = field(default_factory=dict)
    url: str = ""
    home: None = None
    prompts: list[str] = field(default_factory=list)

    def answer(self, path: str, query: Mapping[str, list[str]], body: bytes) -> Any:
        route = "/" + path.split("/")[1]
        if route in self.answers:
            return self.answers[route]
        if route == "/prompt":
            self.prompts.append(json.loads(body)["prompt_id"])
            return {"prompt_id": self.prompts[-1], "number": 1, "node_errors": {}}
        if route == "/history":
            return {id_: {"outputs": self.outputs, "status": self.status} for id_ in self.prompts}
        if route == "/view":
            return self.files.get(query.get("filename", [""])[0])
        return {
            "/system_stats": STATS,
            "/object_info": {},
            "/upload": {"name": "a.png", "subfolder": "", "type": "input"},
            "/queue": {"queue_running": [], "queue_pending": []},
        }.get(route, {})


@contextmanager
def odd_comfyui(comfyui: OddComfyUI) -> Iterator[OddComfyUI]:
    """It answers at `comfyui.url` while this is entered; it has no websocket, as if that never opened."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = comfyui.answer(url.path, parse_qs(url.query), body)
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(404 if answer is None or url.path == "/ws" else 200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    comfyui.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield comfyui
    finally:
        server.shutdown()
        server.server_close()
