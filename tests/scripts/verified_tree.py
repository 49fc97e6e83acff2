"""A copy of the tree for verify_setup.py to look at, and the servers that it asks."""

import contextlib
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from checks.comfyui import VERIFIED
from local.engine.folders import Folders
from local.engine.schemas import Schemas

ROOT = Path(__file__).parents[2]
PARTS = ("verify_setup.py", "checks", "handler.py", "worker", "workflow_api.json", "requirements", "local")
PLATFORM = {
    "RUNPOD_POD_ID": "pod",
    "RUNPOD_ENDPOINT_ID": "endpoint",
    "RUNPOD_AI_API_KEY": "rpa_platform",
    "RUNPOD_WEBHOOK_GET_JOB": "https://queue.example/job-take/$ID?gpu=H100",
    "RUNPOD_WEBHOOK_POST_OUTPUT": "https://queue.example/job-done/$ID?gpu=H100",
    "RUNPOD_WEBHOOK_PING": "https://queue.example/ping",
}
OWN = ("RUNPOD_", "COMFYUI_", "MODEL", "DEFAULT_PRESET", "VOLUME_DIR", "BUCKET_", "HF_", "LOG_LEVEL", "PATH")
NOBODY = "http://127.0.0.1:9"


class Line(NamedTuple):
    state: str
    check: str
    found: str


class Result(NamedTuple):
    code: int
    lines: list[Line]
    out: str
    err: str

    def of(self, check: str) -> Line:
        """The only line of this check."""
        (line,) = [line for line in self.lines if line.check == check]
        return line

    @property
    def states(self) -> list[tuple[str, str]]:
        return [(line.check, line.state) for line in self.lines]


class Tree:
    """A copy of what verify_setup.py looks at; `commands` is the only folder on PATH."""

    def __init__(self, folder: Path) -> None:
        self.root, self.commands = folder / "tree", folder / "commands"
        self.commands.mkdir()
        for part in PARTS:
            self.root.mkdir(exist_ok=True)
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, self.root / part)
            else:
                shutil.copy(ROOT / part, self.root / part)
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith(OWN)}
        self.environ |= {"PATH": str(self.commands)}

    def verify(self, *arguments: str, python: Path | str = sys.executable, **environ: str) -> Result:
        """Every line, also of what does not apply."""
        return self.run("--all", *arguments, python=python, **environ)

    def run(self, *arguments: str, python: Path | str = sys.executable, **environ: str) -> Result:
        done = subprocess.run(
            [python, "verify_setup.py", *arguments],
            cwd=self.root, env={**self.environ, **environ}, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stdout + done.stderr
        rows = [re.split(r"  +", line, maxsplit=2) for line in done.stdout.splitlines() if "  " in line]
        return Result(done.returncode, [Line(*row) for row in rows if len(row) == 3], done.stdout, done.stderr)

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text()
        assert old in text
        (self.root / name).write_text(text.replace(old, new))

    def add_command(self, name: str, script: str) -> None:
        (self.commands / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.commands / name).chmod(0o755)

    def leave_out_the_engine(self) -> None:
        shutil.rmtree(self.root / "local" / "engine")


@contextlib.contextmanager
def engine_process(scenario: dict[str, Any]) -> Iterator[str]:
    """The preview engine as a process of its own; its URL."""
    command = [sys.executable, "-m", "local.engine", "--port", "0", "--scenario", json.dumps(scenario)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[-1]
        finally:
            process.kill()


@contextlib.contextmanager
def http_server(answers: dict[str, Any], damage: bytes = b"") -> Iterator[str]:
    """Answers GET requests with JSON by path, others with a page, and keeps what is PUT; its URL."""
    stored: dict[str, bytes] = {}

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            body = json.dumps(answers[path]).encode() if path in answers else stored.get(path, b"<html>hello</html>")
            self.reply(body)

        def do_PUT(self) -> None:
            stored[self.path.partition("?")[0]] = self.rfile.read(int(self.headers["Content-Length"])) + damage
            self.reply(b"")

        def reply(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep the tests' output short."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def comfyui(version: str = VERIFIED, torch: str = "2.10.0+cu128", without: Iterable[str] = ()) -> dict[str, Any]:
    """What a ComfyUI answers to the questions of verify_setup.py, without some models."""
    with tempfile.TemporaryDirectory() as home:
        schemas = Schemas(Folders(Path(home)), missing_models=tuple(without)).everything()
    system = {"comfyui_version": version, "pytorch_version": torch}
    return {"/system_stats": {"system": system, "devices": []}, "/object_info": schemas}
