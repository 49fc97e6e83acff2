"""The real handler.py as a process, taking jobs from a local endpoint as it does from the platform."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import requests

from local import endpoint as platform
from local import engine as preview
from tests.helpers import wait_until
from tests.worker_process import UNCHECKED, Worker, queue_is_empty, worker_at


@pytest.fixture(scope="module")
def engine() -> Iterator[preview.Engine]:
    with preview.start(scenario=preview.Scenario(step_seconds=0.08)) as running:
        yield running


@pytest.fixture(scope="module")
def worker(engine: preview.Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    log = tmp_path_factory.mktemp("worker") / "log"
    with worker_at(engine.url, log, COMFYUI_DIR=str(engine.home), JOB_TIMEOUT="20") as running:
        yield running


def test_a_job_is_taken_reports_progress_and_is_answered(worker, small):
    job_id = worker.submit(small(steps=40))
    progress = worker.wait_for_progress(job_id)
    assert 0 <= progress["percent"] < 100
    report = worker.finish(job_id)
    assert report["status"] == "COMPLETED"
    assert len(report["output"]["outputs"]) == 6
    assert report["executionTime"] >= 3000  # 40 steps of 0.08 s


def test_no_progress_arrives_after_the_result(worker, small):
    for _ in range(2):
        assert worker.finish(worker.submit(small()))["status"] == "COMPLETED"
    time.sleep(1.5)
    assert requests.get(f"{worker.endpoint.url}/health", timeout=10).json()["local"]["lateUpdates"] == 0


def test_a_bad_request_fails_with_a_message_that_names_the_field(worker, small):
    report = worker.finish(worker.submit(small(num_frames="many")))
    assert report["status"] == "FAILED"
    assert report["error"].startswith("invalid_input: num_frames")


def test_a_cancel_frees_comfyui_and_the_next_job_runs(worker, engine, small):
    job_id = worker.submit(small(steps=100))
    worker.wait_for_progress(job_id)
    requests.post(f"{worker.endpoint.url}/cancel/{job_id}", timeout=10)
    wait_until(lambda: queue_is_empty(engine), 10)
    assert worker.status(job_id)["status"] == "CANCELLED"
    assert worker.finish(worker.submit(small()))["status"] == "COMPLETED"
    assert list((engine.home / "input").iterdir()) == []


def test_the_platforms_execution_timeout_frees_comfyui_too(worker, engine, small):
    job_id = worker.submit(small(steps=100), policy={"executionTimeout": 5100})
    assert worker.finish(job_id)["status"] == "TIMED_OUT"
    wait_until(lambda: queue_is_empty(engine), 10)


def test_the_log_has_the_lines_that_monitoring_looks_for_and_nothing_private(worker, small):
    secret = "a prompt that belongs to its caller"
    wanted = small(prompt=secret)
    worker.finish(worker.submit(wanted))
    for line in (
        "INITIALIZING RUNPOD SERVERLESS WORKER",
        "Handler callable: True",
        "HANDLER CALLED - NEW REQUEST RECEIVED",
        "Job ID:",
        "Processing job:",
        "Status: success",
    ):
        assert line in worker.log
    assert secret not in worker.log
    assert wanted["image"][:60] not in worker.log


def test_a_job_that_overruns_its_deadline_is_told_so(engine, small, tmp_path):
    with worker_at(engine.url, tmp_path / "log", JOB_TIMEOUT="1") as worker:
        report = worker.finish(worker.submit(small(steps=100)))
    assert report["error"].startswith("timeout: ")
    assert queue_is_empty(engine)


def test_sigterm_lets_the_running_job_finish(engine, small, tmp_path):
    with worker_at(engine.url, tmp_path / "log") as worker:
        job_id = worker.submit(small(steps=40))
        worker.wait_for_progress(job_id)
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(30) == 0
        assert worker.status(job_id)["status"] == "COMPLETED"


def test_without_comfyui_the_platform_hears_that_the_worker_is_unfit(small, tmp_path, free_port):
    url = f"http://127.0.0.1:{free_port}"
    with worker_at(url, tmp_path / "log", COMFYUI_BOOT_TIMEOUT="1") as worker:
        job_id = worker.submit(small())
        assert worker.process.wait(30) == 1
        assert worker.status(job_id)["status"] == "IN_QUEUE"
        unhealthy = requests.get(f"{worker.endpoint.url}/health", timeout=10).json()["local"]["unhealthy"]
    assert "ComfyUI" in str(unhealthy)
    assert "PREVIEW" not in worker.log


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [
        (["--rp_serve_api"], {}),
        (["--test_input", "{}"], {}),
        (["--test_input={}"], {}),
        (["--rp_serve"], {}),
        ([], {"RUNPOD_REALTIME_PORT": "8001"}),
        ([], {"RUNPOD_REALTIME_PORT": "8001", "RUNPOD_WEBHOOK_GET_JOB": ""}),
    ],
)
def test_what_silences_the_handler_is_refused_at_once(tmp_path, arguments, environ):
    with worker_at("http://127.0.0.1:9", tmp_path / "log", *arguments, **environ) as worker:
        assert worker.process.wait(20) == 1
    assert "Remove it" in worker.log
    assert (arguments[0].split("=")[0] if arguments else "RUNPOD_REALTIME_PORT") in worker.log


def test_the_sdk_alone_takes_no_job_with_rp_serve_api_and_looks_healthy(tmp_path, free_port):
    """The failure that the refusal is for, shown on the SDK itself."""
    script = tmp_path / "plain.py"
    script.write_text(
        "import runpod\n"
        'if __name__ == "__main__":\n'
        '    runpod.serverless.start({"handler": lambda job: {"called": True}})\n'
    )
    with platform.start(poll_hold=0.5, ping_interval=1) as endpoint:
        environment = {**os.environ, **endpoint.worker_environ(), **UNCHECKED}
        command = [sys.executable, str(script), "--rp_serve_api", "--rp_api_port", str(free_port)]
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        ) as process:
            job_id = requests.post(f"{endpoint.url}/run", json={"input": {}}, timeout=10).json()["id"]
            wait_until(lambda: is_serving(free_port))
            time.sleep(2)
            health = requests.get(f"{endpoint.url}/health", timeout=10).json()
            status = requests.get(f"{endpoint.url}/status/{job_id}", timeout=10).json()["status"]
            os.killpg(process.pid, signal.SIGKILL)  # with the SDK's heartbeat, a child that would live on
    assert status == "IN_QUEUE"
    assert health["workers"]["unhealthy"] == 0


def is_serving(port: int) -> bool:
    try:
        return requests.get(f"http://localhost:{port}/docs", timeout=5).ok
    except requests.ConnectionError:
        return False
