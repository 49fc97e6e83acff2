"""Many jobs in one worker, good, bad and cancelled: nothing grows, nothing leaks, each good one is delivered once.

`make soak` runs 300; `make test` a few.
"""

import logging
import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from local import engine as preview
from tests.helpers import wait_until
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
# Python keeps what it once used, and the SDK, its threads and pools fill up on the first jobs.
GROWTH = {"memory": 12_000_000, "threads": 2, "files": 4, "sockets": 2}


@pytest.fixture(scope="module")
def engine() -> Iterator[preview.Engine]:
    with preview.start(scenario=preview.Scenario(step_seconds=0.02)) as running:
        yield running


@pytest.fixture
def worker(engine: preview.Engine, tmp_path: Path) -> Iterator[Worker]:
    (tmp_path / "tmp").mkdir()
    environ = {
        "COMFYUI_DIR": str(engine.home),
        "WORKER_CONCURRENCY": str(AT_ONCE),
        "LOG_LEVEL": "DEBUG",
        "TMPDIR": str(tmp_path / "tmp"),
        **KEYS,
    }
    with worker_at(engine.url, tmp_path / "log", options=None, **environ) as running:
        yield running


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

    def __init__(self, worker: Worker, small: Any) -> None:
        self._worker, self._small, self._random = worker, small, random.Random(7)
        self.wanted: dict[str, tuple[str, int]] = {}

    def run(self, count: int) -> None:
        """Submit `count` jobs, a few at a time, and return when all have ended."""
        for _ in range(count):
            wait_until(lambda: len(self._open()) < 2 * AT_ONCE)
            self._submit(self._random.choices(["good", "bad", "cancelled"], [6, 2, 2])[0])
        wait_until(lambda: not self._open())

    def _open(self) -> list[str]:
        newest = list(self.wanted)[-3 * AT_ONCE :]
        return [job_id for job_id in newest if self._worker.status(job_id)["status"] not in FINAL]

    def _submit(self, kind: str) -> None:
        frames = self._random.randint(1, 9)
        good = self._small(delivery="inline", prompt=SECRET, num_frames=frames, seed=self._random.randrange(2**32))
        bad = [{**good, "steps": -1}, {**good, "image": "nonsense"}, {"workflow": {"1": {}}}, None]
        job_input = {"good": good, "bad": self._random.choice(bad), "cancelled": {**good, "steps": 100}}[kind]
        job_id = self._worker.submit(job_input)
        self.wanted[job_id] = (kind, frames)
        if kind == "cancelled":
            time.sleep(self._random.choice([0, 0.3, 1]))
            requests.post(f"{self._worker.endpoint.url}/cancel/{job_id}", timeout=10)


def test_a_long_run_of_mixed_jobs_leaks_nothing_and_delivers_each_good_one_once(request, worker, engine, small, caplog):
    jobs = request.config.getoption("--soak-jobs")
    mix = Mix(worker, small)
    mix.run(jobs // 3)
    before = usage(worker.process.pid)
    mix.run(jobs - jobs // 3)
    after = usage(worker.process.pid)

    check_every_end(worker, mix)
    late = {record.args[0] for record in caplog.records if "came after its result" in record.msg}
    assert {mix.wanted[job_id][0] for job_id in late} <= {"cancelled"}  # sent before the worker heard of the cancel
    growth = {name: after[name] - before[name] for name in before}
    log.warning("%s: at first %s, then %s more", Counter(kind for kind, _ in mix.wanted.values()), before, growth)
    assert all(growth[name] <= GROWTH[name] for name in growth), growth
    assert [path for folder in ("input", "output") for path in (engine.home / folder).rglob("*")] == []
    assert list(Path(worker.environ["TMPDIR"]).iterdir()) == []
    for private in (SECRET, small()["image"][:60], *KEYS.values()):
        assert private not in worker.log


def check_every_end(worker: Worker, mix: Mix) -> None:
    ends = {"good": "COMPLETED", "bad": "FAILED", "cancelled": "CANCELLED"}
    delivered = re.findall(r"(\S+) handler: Status: success", worker.log)
    for job_id, (kind, frames) in mix.wanted.items():
        report = worker.status(job_id)
        assert report["status"] == ends[kind], report
        if kind == "good":
            assert len(report["output"]["outputs"]) == 1 + frames
            assert delivered.count(job_id) == 1
