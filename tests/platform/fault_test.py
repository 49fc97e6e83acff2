"""Faults around a whole worker: refused results and pings, two jobs at once, and SIGTERM at each phase of a job."""

import base64
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from local import engine as preview
from local.endpoint.options import Faults
from tests.helpers import left_behind, wait_until
from tests.worker_process import Worker, queue_is_empty, worker_at


@pytest.fixture(scope="module")
def engine() -> Iterator[preview.Engine]:
    with preview.start(scenario=preview.Scenario(step_seconds=0.1)) as running:
        yield running


@pytest.fixture
def worker(engine: preview.Engine, tmp_path: Path) -> Iterator[Worker]:
    """A worker that takes two jobs at once, and may fetch a picture from this machine."""
    settings = {"WORKER_CONCURRENCY": "2", "RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS": "true"}
    with worker_at(engine.url, tmp_path / "log", COMFYUI_DIR=str(engine.home), options=None, **settings) as running:
        yield running


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
    assert left_behind(engine.home) == []


def test_with_two_jobs_at_once_one_waits_in_comfyuis_queue_and_each_gets_its_own_clip(worker, engine, small):
    frames = [4, 1, 3, 2]
    jobs = [worker.submit(small(steps=15, num_frames=n, seed=n)) for n in frames]
    wait_until(lambda: queued(engine, "pending"))
    assert [count_frames(worker, job_id) for job_id in jobs] == frames
    assert left_behind(engine.home) == []


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
    assert left_behind(engine.home) == []


def test_a_picture_is_fetched_and_a_clip_delivered_while_another_job_runs(worker, engine, small, picture):
    with held_site() as bucket, held_site(base64.b64decode(picture())) as album:
        delivered = worker.submit(small(steps=1, output="video"), s3Config=bucket.bucket())
        assert bucket.asked.wait(30)
        running = worker.submit(small(steps=100))
        worker.wait_for_progress(running)
        assert worker.status(delivered)["status"] == "IN_PROGRESS"
        bucket.release.set()
        assert count_frames(worker, delivered) == 0
        fetched = worker.submit({**small(steps=1, num_frames=3), "image": album.url})
        assert album.asked.wait(30)
        assert queued(engine, "running")
        album.release.set()
        wait_until(lambda: queued(engine, "pending"))
        requests.post(f"{worker.endpoint.url}/cancel/{running}", timeout=10)
        assert count_frames(worker, fetched) == 3
    assert left_behind(engine.home) == []


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
        with held_site(base64.b64decode(picture())) as site:
            job_id = worker.submit({**small(steps=1), "image": site.url})
            self.terminate(worker, engine, site)
        assert count_frames(worker, job_id) == 5

    def test_while_the_clip_is_on_its_way_to_a_bucket(self, worker, engine, small):
        with held_site() as site:
            job_id = worker.submit(small(steps=1, output="video"), s3Config=site.bucket())
            self.terminate(worker, engine, site)
        assert worker.status(job_id)["output"]["outputs"][0]["encoding"] == "url"

    def test_while_it_asks_for_a_job_and_is_given_one_afterwards(self, engine, small, tmp_path):
        """The SDK drops it: its loop that runs jobs has ended by then."""
        settings = {"COMFYUI_DIR": str(engine.home), "RUNPOD_LOG_LEVEL": "DEBUG"}
        with worker_at(engine.url, tmp_path / "log", options={"poll_hold": 10}, **settings) as worker:
            wait_until(lambda: "Starting job acquisition" in worker.log)
            worker.process.send_signal(signal.SIGTERM)
            wait_until(lambda: "Kill worker" in worker.log)
            time.sleep(1)  # that loop looks every 0.1 s whether to end
            job_id = worker.submit(small(steps=1))
            assert count_frames(worker, job_id) == 5
            assert worker.process.wait(40) == 0

    def test_while_comfyui_boots(self, small, tmp_path, free_port):
        with worker_at(f"http://127.0.0.1:{free_port}", tmp_path / "log", LOG_LEVEL="DEBUG") as worker:
            job_id = worker.submit(small())
            wait_until(lambda: "waiting for ComfyUI" in worker.log)
            worker.process.send_signal(signal.SIGTERM)
            assert worker.process.wait(40) == -signal.SIGTERM
            assert worker.status(job_id)["status"] == "IN_QUEUE"

    def terminate(self, worker, engine, site=None):
        """With `site`, while it holds a request of the worker's."""
        assert not site or site.asked.wait(30)
        worker.process.send_signal(signal.SIGTERM)
        if site:
            site.release.set()
        assert worker.process.wait(40) == 0
        assert queue_is_empty(engine)
        assert left_behind(engine.home) == []


class Site:
    """Holds every request that it gets until it is released, then answers with `body`, or what was put there."""

    def __init__(self, url: str, body: bytes) -> None:
        self.url, self.body = url, body
        self.asked, self.release = threading.Event(), threading.Event()

    def bucket(self) -> dict[str, str]:
        """The site as a job's own bucket."""
        keys = {"accessId": "key", "accessSecret": "secret", "bucketName": "clips"}
        return {**keys, "endpointUrl": self.url}


@contextmanager
def held_site(body: bytes = b"") -> Iterator[Site]:
    class Held(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            site.asked.set()
            site.release.wait(30)
            self.send_response(200)
            if self.command == "PUT":
                site.body = sent
            answer = site.body if self.command == "GET" else b""
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_PUT = do_GET  # noqa: N815  the base class's names

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Held)
    site = Site(f"http://127.0.0.1:{server.server_port}", body)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield site
    server.shutdown()
    server.server_close()
