"""WARMUP=1: a tiny job before the queue's first, and a worker that cannot make it is unfit."""

import pytest
import requests

from local import engine as preview
from tests.helpers import wait_until
from tests.worker_process import queue_is_empty, worker_at


def test_a_tiny_clip_is_made_before_the_first_job_is_taken_and_leaves_nothing(small, tmp_path):
    with preview.start(scenario=preview.Scenario(step_seconds=0.05)) as engine:
        with worker_at(engine.url, tmp_path / "log", WARMUP="1", COMFYUI_DIR=str(engine.home)) as worker:
            wait_until(lambda: "warm-up: a clip of one frame took" in worker.log)
            assert len(requests.get(f"{engine.url}/history", timeout=10).json()) == 1
            assert queue_is_empty(engine)
            assert not any((engine.home / "output").iterdir())
            assert "HANDLER CALLED" not in worker.log
            assert worker.finish(worker.submit(small()))["status"] == "COMPLETED"


def test_without_the_setting_there_is_none(small, tmp_path):
    with preview.start(scenario=preview.Scenario(step_seconds=0.05)) as engine:
        with worker_at(engine.url, tmp_path / "log") as worker:
            worker.finish(worker.submit(small()))
            assert len(requests.get(f"{engine.url}/history", timeout=10).json()) == 1


@pytest.mark.parametrize(
    ("fault", "environ", "reason"),
    [
        ({"fail_at": "VAEDecode"}, {}, "OutOfMemory: node"),
        ({"hang_at": "VAEDecode"}, {"BOOT_TIMEOUT": "3"}, "JobTimeout: "),
    ],
)
def test_a_worker_that_cannot_warm_up_is_unfit_and_says_why(small, tmp_path, fault, environ, reason):
    with preview.start(scenario=preview.Scenario(step_seconds=0.05, **fault)) as engine:
        with worker_at(engine.url, tmp_path / "log", WARMUP="1", **environ) as worker:
            job_id = worker.submit(small())
            assert worker.process.wait(30) == 1
            assert worker.status(job_id)["status"] == "IN_QUEUE"
            unhealthy = requests.get(f"{worker.endpoint.url}/health", timeout=10).json()["local"]["unhealthy"]
    assert "warm_up" in str(unhealthy)
    assert reason in str(unhealthy)
