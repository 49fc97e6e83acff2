"""What build_and_deploy.sh is tested in: a git checkout, a docker that records its calls, RunPod's APIs over HTTP."""

import base64
import contextlib
import http.server
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FILES = ("build_and_deploy.sh", "test_runpod_local.py", "pyproject.toml", ".gitignore")
KEY = "rpa_SECRET_KEY_OF_THE_TEST"
OLD = "me/worker:0.0.9-aaaaaaa"
DOCKER = """#!/bin/sh
echo "$*" >> "$DOCKER_CALLS"
[ "$1" != info ] || echo /no/such/folder
case " $DOCKER_FAILS " in *" $1 "*|*" $1-$2 "*) echo "docker: no" >&2; exit 1 ;; esac
"""


@dataclass
class Platform:
    """RunPod's two APIs for one endpoint, `ep1`; the workers follow a new image after some looks at them."""

    image: str = OLD
    workers: list[dict[str, Any]] = field(default_factory=lambda: [worker(OLD), worker(OLD)])
    looks_until_rolled: int = 2
    most_workers: int = 3
    failing_job: bool = False
    refusals: list[int] = field(default_factory=list)
    """Statuses of the next replies, the last one for good if it is repeated by `forever`."""
    forever: bool = False
    calls: list[str] = field(default_factory=list)
    processes: str = ""
    """Every process's command line, seen at each call."""

    def reply(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        self.calls.append(f"{method} {path}")
        if self.refusals:
            status = self.refusals[0] if self.forever else self.refusals.pop(0)
            return status, {"title": "Refused", "status": status, "detail": "the test says so"}
        if path.startswith("/jobs/ep1/runsync"):
            return 200, {"id": "sync-1", "status": "FAILED" if self.failing_job else "COMPLETED"} | self.job_result()
        if path == "/v2/serverless/ep1/workers":
            self.roll_on()
            return 200, {"workers": self.workers, "summary": {}}
        if path == "/v2/serverless/ep1":
            self.image = body["image"] if method == "PATCH" else self.image
            return 200, {"id": "ep1", "image": self.image, "workers": {"min": 0, "max": self.most_workers}}
        return 404, {"title": "Not Found", "status": 404, "detail": "resource not found"}

    def roll_on(self) -> None:
        self.looks_until_rolled -= 1
        if self.looks_until_rolled <= 0:
            self.workers = [worker(self.image, "IDLE") for _ in self.workers]

    def job_result(self) -> dict[str, Any]:
        if self.failing_job:
            return {"error": "out_of_memory: node 7"}
        frame = {"type": "image", "filename": "f.png", "mime_type": "image/png", "encoding": "base64"}
        outputs = [frame | {"data": base64.b64encode(b"pixels").decode()} for _ in range(5)]
        return {"output": {"status": "success", "outputs": outputs, "num_frames": 5, "seed": 1, "fps": 24}}


def worker(image: str | None, status: str = "RUNNING", stale: bool = False) -> dict[str, Any]:
    return {"id": "w", "status": status, "isStale": stale, "image": image, "gpuCount": 1}


def serve(platform: Platform) -> http.server.ThreadingHTTPServer:
    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            platform.processes += command_lines()
            authorized = self.headers["Authorization"] == f"Bearer {KEY}"
            reply = platform.reply(self.command, self.path, json.loads(body or "null")) if authorized else (401, {})
            self.send_response(reply[0])
            self.end_headers()
            self.wfile.write(json.dumps(reply[1]).encode())

        do_GET = do_POST = do_PATCH = answer  # noqa: N815 - the names that http.server calls

        def log_message(self, *_: Any) -> None:
            """Keep the test's output clean."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server


def command_lines() -> str:
    text = ""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # a process may end meanwhile
            text += path.read_text(errors="replace") + "\n"
    return text


@dataclass
class Project:
    """A committed checkout of what the script needs, and the world around it."""

    folder: Path
    environ: dict[str, str]

    def run(self, *arguments: str, answers: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.folder / "build_and_deploy.sh", *arguments],
            env=self.environ | environ,
            input=answers,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
        return subprocess.check_output(["git", "-C", self.folder, *identity, *arguments], text=True).strip()

    @property
    def default_tag(self) -> str:
        return f"0.1.0-{self.git('rev-parse', 'HEAD')[:7]}"

    @property
    def docker_calls(self) -> list[str]:
        calls = Path(self.environ["DOCKER_CALLS"])
        return calls.read_text().splitlines() if calls.exists() else []

    @property
    def changes(self) -> list[str]:
        return [call for call in self.docker_calls if call.startswith(("buildx build", "push", "login"))]


@contextlib.contextmanager
def served(platform: Platform) -> Iterator[str]:
    """Serve both APIs; yields their address."""
    with serve(platform) as server:
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def make_project(tmp_path: Path, address: str = "") -> Project:
    folder, programs = tmp_path / "checkout", tmp_path / "programs"
    for path in (folder / "examples", programs, tmp_path / "home"):
        path.mkdir(parents=True)
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    (folder / "pyproject.toml").write_text('[project]\nname = "worker"\nversion = "0.1.0"\n')
    (folder / "examples" / "rocket.jpg").write_bytes(b"picture")
    for name in ("client", "requirements"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (programs / "docker").write_text(DOCKER)
    (programs / "docker").chmod(0o755)
    environ = {
        "PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(tmp_path / "home"),
        "DOCKER_CALLS": str(tmp_path / "docker-calls"),
        "DOCKER_FAILS": "",
        "NO_PROXY": "*",
        "PYTHON": sys.executable,
        "MIN_FREE_GB": "0",
        "ROLL_PAUSE": "0.01",
        "RUNPOD_API_KEY": KEY,
        "RUNPOD_API_BASE": f"{address}/v2",
        "RUNPOD_JOBS_BASE": f"{address}/jobs",
    }
    made = Project(folder, environ)
    made.git("init", "--quiet")
    made.git("add", "--all")
    made.git("commit", "--quiet", "--message", "start")
    return made


def assert_died(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done.stdout + done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("build_and_deploy.sh: ")
    for word in words:
        assert word in done.stderr
    assert "Traceback" not in done.stderr
