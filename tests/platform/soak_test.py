"""Many jobs in one worker, good, bad, hostile and cancelled, on a ComfyUI that says odd things and hangs.

Nothing grows, nothing leaks, each good one is delivered once. `make soak` runs 600; `make test` a few, without hangs.
"""

import base64
import logging
import os
import random
import re
import signal
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from tests.engine_process import Supervised, supervised
from tests.helpers import encode, gradient, small_job, wait_until
from tests.worker_process import FINAL, Worker, worker_at

log = logging.getLogger(__name__)
pytestmark = pytest.mark.timeout(3600)
SECRET = "only its caller may read this"
KEYS = {
    "BUCKET_ENDPOINT_URL": "https://bucket-that-is-secret.example",
    "BUCKET_ACCESS_KEY_ID": "key-that-is-secret",
    "BUCKET_SECRET_ACCESS_KEY": "password-that-is-secret",
    "RUNPOD_AI_API_KEY": "token-that-is-secret",
}
AT_ONCE = 4
LONG = 100  # jobs: with so many ComfyUI hangs as well, which takes a minute each time
WEIGHTS = {"good": 5, "redirected": 1, "bad": 1, "hostile": 1, "cancelled": 2}
# Python keeps what it once used, and the SDK, its threads and pools fill up on the first jobs.
GROWTH = {"memory": 12_000_000, "threads": 2, "files": 4, "sockets": 2}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Supervised]:
    """A ComfyUI that is started again when it ends, and whose histories hold what no node should put there."""
    (tmp_path / "comfyui").mkdir()
    scenario = '{"step_seconds": 0.02, "odd_outputs": true}'
    with supervised(tmp_path / "comfyui", scenario, scenario) as running:
        yield running


@pytest.fixture
def worker(engine: Supervised, tmp_path: Path) -> Iterator[Worker]:
    (tmp_path / "tmp").mkdir()
    environ: dict[str, Any] = {
        "COMFYUI_DIR": str(engine.home),
        "COMFYUI_PID": str(engine.pid_file),
        "WORKER_CONCURRENCY": str(AT_ONCE),
        "RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS": "true",
        "LOG_LEVEL": "DEBUG",
        "TMPDIR": str(tmp_path / "tmp"),
        **KEYS,
    }
    with worker_at(engine.url, tmp_path / "log", **environ) as running:
        yield running


@contextmanager
def redirecting() -> Iterator[str]:
    """A bucket that has moved: every request is answered with a redirect."""

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(307)
            self.send_header("Location", f"https://elsewhere.example{self.path}")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def hostile_pictures() -> list[str]:
    """Cut, of a canvas of gigabytes, too many pixels, and no picture at all; base64."""
    whole = base64.b64decode(gradient())
    size = (16384 - 1).to_bytes(3, "little")
    webp = struct.pack("<4sI8sI", b"RIFF", 38, b"WEBPVP8X", 10) + b"\2\0\0\0" + size * 2
    webp += struct.pack("<4sI", b"ANIM", 6) + bytes(6)
    large = encode(Image.new("L", (9000, 9000)), "PNG")
    return [base64.b64encode(data).decode() for data in (whole[:-40], webp, large, b"<html>", whole[:20] + bytes(2000))]


def usage(pid: int) -> dict[str, int]:
    """What a process holds, from /proc."""
    status = Path(f"/proc/{pid}/status").read_text()
    links = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
    return {
        "memory": int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) * 1024,
        "threads": int(re.findall(r"Threads:\s+(\d+)", status)[0]),
        "files": len(links),
        "sockets": sum(link.startswith("socket:") for link in links),
    }


class Mix:
    """A stream of jobs of all kinds, by a fixed seed, and what is to become of each."""

    def __init__(self, worker: Worker, bucket: str) -> None:
        self._worker, self._random = worker, random.Random(7)
        keys = {"accessId": "a", "accessSecret": "b", "bucketName": "clips"}
        self._bucket, self._pictures = {**keys, "endpointUrl": bucket}, hostile_pictures()
        self.wanted: dict[str, tuple[str, int]] = {}

    def run(self, count: int) -> None:
        """Submit `count` jobs, a few at a time, and return when all have ended."""
        for _ in range(count):
            wait_until(lambda: len(self._open()) < 2 * AT_ONCE)
            self._submit(self._random.choices([*WEIGHTS], [*WEIGHTS.values()])[0])
        wait_until(lambda: not self._open())

    def run_each_kind(self) -> None:
        """One job of each kind, and return when all have ended."""
        for kind in WEIGHTS:
            self._submit(kind)
        wait_until(lambda: not self._open())

    def hang(self, engine: Supervised) -> None:
        """Have ComfyUI hang under a job: it is killed, started again, and the next jobs run."""
        starts = engine.starts
        job_id = self._worker.submit(small_job(prompt=SECRET, steps=100))
        self.wanted[job_id] = ("hung", 0)
        self._worker.wait_for_progress(job_id)
        os.kill(int(engine.pid_file.read_text()), signal.SIGSTOP)
        wait_until(lambda: self._worker.status(job_id)["status"] in FINAL, 120)
        wait_until(lambda: engine.starts == starts + 1)
        assert self._worker.status(job_id)["output"]["code"] == "comfyui_unavailable"

    def _open(self) -> list[str]:
        newest = list(self.wanted)[-3 * AT_ONCE :]
        return [job_id for job_id in newest if self._worker.status(job_id)["status"] not in FINAL]

    def _submit(self, kind: str) -> None:
        frames = self._random.randint(1, 9)
        good = small_job(delivery="inline", prompt=SECRET, num_frames=frames, seed=self._random.randrange(2**32))
        bad = [{**good, "steps": -1}, {**good, "image": "nonsense"}, {"workflow": {"1": {}}}, None]
        job_input: Any = {
            "good": good,
            "redirected": {**good, "delivery": "bucket"},
            "bad": self._random.choice(bad),
            "hostile": {**good, "image": self._random.choice(self._pictures)},
            "cancelled": {**good, "steps": 100},
        }[kind]
        more = {"s3Config": self._bucket} if kind == "redirected" else {}
        job_id = self._worker.submit(job_input, **more)
        self.wanted[job_id] = (kind, frames)
        if kind == "cancelled":
            time.sleep(self._random.choice([0, 0.3, 1]))
            requests.post(f"{self._worker.endpoint.url}/cancel/{job_id}", timeout=10)


def test_a_long_run_of_mixed_jobs_leaks_nothing_and_delivers_each_good_one_once(
    request: pytest.FixtureRequest, worker: Worker, engine: Supervised, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = request.config.getoption("--soak-jobs")
    with redirecting() as bucket:
        mix = Mix(worker, bucket)
        mix.run_each_kind()  # the first upload brings boto3, the first image its decoder
        mix.run(jobs // 3)
        before = usage(worker.process.pid)
        for part in (jobs // 3, jobs - 2 * (jobs // 3)):
            if jobs >= LONG:
                mix.hang(engine)
            mix.run(part)
        wait_until(lambda: usage(worker.process.pid)["threads"] <= before["threads"] + GROWTH["threads"])
        after = usage(worker.process.pid)  # threads of an upload that was given up end with its next attempt

    check_every_end(worker, mix)
    late = [record.getMessage() for record in caplog.records if "came after its result" in record.msg]
    kinds = {mix.wanted[message.split()[1].rstrip(":")][0] for message in late}
    assert kinds <= {"cancelled"}  # sent before the worker heard of the cancel
    growth = {name: after[name] - before[name] for name in before}
    log.warning("%s: at first %s, then %s more", Counter(kind for kind, _ in mix.wanted.values()), before, growth)
    assert all(growth[name] <= GROWTH[name] for name in growth), growth
    assert [path for folder in ("input", "output") for path in (engine.home / folder).rglob("*")] == []
    left = [path.name for path in Path(worker.environ["TMPDIR"]).iterdir()]
    assert [name for name in left if not name.startswith("pymp-")] == []  # the SDK's heartbeat, from Python 3.14 on
    for private in (SECRET, gradient()[:60], *KEYS.values()):
        assert private not in worker.log


def check_every_end(worker: Worker, mix: Mix) -> None:
    ends = dict.fromkeys(("good", "redirected"), "COMPLETED") | dict.fromkeys(("bad", "hostile", "hung"), "FAILED")
    delivered = re.findall(r"(\S+) handler: Status: success", worker.log)
    for job_id, (kind, frames) in mix.wanted.items():
        report = worker.status(job_id)
        assert report["status"] == ends.get(kind, "CANCELLED"), report
        if ends.get(kind) == "COMPLETED":
            assert len(report["output"]["outputs"]) == 1 + frames
            assert delivered.count(job_id) == 1
        if kind == "redirected":
            assert any("https://elsewhere.example" in warning for warning in report["output"]["warnings"])
