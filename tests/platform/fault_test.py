"""Faults around a whole worker: refused results and pings, two jobs at once, and SIGTERM at each phase of a job."""

import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from local import engine as preview
from local.endpoint.options import Faults
from tests.worker_process import Worker, queue_is_empty, wait_until, worker_at


@pytest.fixture(scope="module")
def engine() -> Iterator[preview.Engine]:
    with preview.start(scenario=preview.Scenario(step_seconds=0.1)) as running:
        yield running


@pytest.fixture
def worker(engine: preview.Engine, tmp_path: Path) -> Iterator[Worker]:
    """A worker that takes two jobs at once, and may fetch a picture from this machine."""
    settings = {"WORKER_CONCURRENCY": "2", "RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS": "true"}
    with worker_at(engine.url, tmp_path / "log", COMFYUI_DIR=str(engine.home), **settings) as running:
        yield running


def left_behind(engine: preview.Engine) -> list[Path]:
    return [path for folder in ("input", "output") for path in (engine.home / folder).rglob("*")]


def queued(engine: preview.Engine, place: str) -> bool:
    return bool(requests.get(f"{engine.url}/queue", timeout=10).json()[f"queue_{place}"])


def count_frames(worker: Worker, job_id: str) -> int:
    report = worker.finish(job_id)
    assert report["status"] == "COMPLETED", report
    return len(report["output"]["outputs"]) - 1


def test_refused_results_and_pings_cost_no_later_job(engine, small, tmp_path):
    """The SDK posts a result again after a 5xx, twice at most, and gives it up after any other refusal."""
    faults = Faults(job_done_statuses=(500, 503, 200, 400, 429), ping_status=500)
    with worker_at(
        engine.url, tmp_path / "log", options={"faults": faults, "worker_timeout": 60}, COMFYUI_DIR=str(engine.home)
    ) as worker:
        kept, *lost, last = (worker.submit(small(steps=1, num_frames=n)) for n in (1, 2, 3, 4))
        assert count_frames(worker, kept) == 1
        assert count_frames(worker, last) == 4
        assert [worker.status(job_id)["status"] for job_id in lost] == ["IN_PROGRESS"] * 2
        assert worker.log.count("Failed to return job results") == 2
    assert left_behind(engine) == []


def test_with_two_jobs_at_once_one_waits_in_comfyuis_queue_and_each_gets_its_own_clip(worker, engine, small):
    frames = [4, 1, 3, 2]
    jobs = [worker.submit(small(steps=15, num_frames=n, seed=n)) for n in frames]
    wait_until(lambda: queued(engine, "pending"))
    assert [count_frames(worker, job_id) for job_id in jobs] == frames
    assert left_behind(engine) == []


def test_a_cancel_of_the_job_that_waits_leaves_the_one_that_runs_alone(worker, engine, small):
    running = worker.submit(small(steps=40))
    worker.wait_for_progress(running)
    waiting = worker.submit(small(steps=40))
    wait_until(lambda: queued(engine, "pending"))
    requests.post(f"{worker.endpoint.url}/cancel/{waiting}", timeout=10)
    wait_until(lambda: not queued(engine, "pending"))
    assert queued(engine, "running")
    assert count_frames(worker, running) == 5
    assert worker.status(waiting)["status"] == "CANCELLED"
    assert left_behind(engine) == []


class TestSigterm:
    """At each phase: what was taken is answered, the process ends with 0, nothing is left on ComfyUI."""

    def test_between_jobs(self, worker, engine, small):
        assert count_frames(worker, worker.submit(small(steps=1))) == 5
        self.terminate(worker, engine)

    def test_while_one_job_samples_and_another_waits_behind_it(self, worker, engine, small):
        jobs = [worker.submit(small(steps=20, num_frames=n)) for n in (2, 3)]
        wait_until(lambda: queued(engine, "pending"))
        self.terminate(worker, engine)
        assert [count_frames(worker, job_id) for job_id in jobs] == [2, 3]

    def test_while_the_picture_is_fetched(self, worker, engine, small, picture):
        with picture_site(picture().encode()) as (url, asked):
            job_id = worker.submit({**small(steps=1), "image": url})
            assert asked.wait(30)
            self.terminate(worker, engine)
        assert worker.status(job_id)["error"].startswith("image_rejected")

    def terminate(self, worker, engine):
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(40) == 0
        assert queue_is_empty(engine)
        assert left_behind(engine) == []


@contextmanager
def picture_site(body: bytes) -> Iterator[tuple[str, threading.Event]]:
    """A server that answers its only request after a second, and an event that is set when it is asked."""
    asked = threading.Event()

    def answer(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            asked.set()
            time.sleep(1)
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body)
            )

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=answer, args=(server,), daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/picture.png", asked
