"""The runpod SDK, unchanged, on both sides of the local endpoint: its worker loop and its client."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import requests
import runpod

from local.endpoint import Endpoint, start

WORKER = """
import asyncio
import runpod

async def handler(job):
    wanted = job["input"]
    if "progress" in wanted:
        runpod.serverless.progress_update(job, wanted["progress"])
    await asyncio.sleep(wanted.get("sleep", 0))
    if "size" in wanted:
        return {"data": "x" * wanted["size"]}
    if "raise" in wanted:
        raise ValueError(wanted["raise"])
    if "error" in wanted:
        return {"error": wanted["error"], "code": "told"}
    return {"echo": wanted, "keys": sorted(job)}

runpod.serverless.start({"handler": handler, "concurrency_modifier": lambda current: 4})
"""

STREAMER = """
import runpod

def handler(job):
    for number in range(job["input"]["count"]):
        yield {"number": number}

runpod.serverless.start({"handler": handler})
"""


SKIP_CHECKS = {
    "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
    "RUNPOD_SKIP_GPU_CHECK": "true",
    "RUNPOD_LOG_LEVEL": "INFO",
}


def start_worker(endpoint: Endpoint, script: Path, source: str) -> subprocess.Popen[bytes]:
    script.write_text(source)
    return subprocess.Popen([sys.executable, str(script)], env=os.environ | endpoint.worker_environ() | SKIP_CHECKS)


def wait_for(look: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.03)


@pytest.fixture(scope="module")
def endpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Endpoint, Endpoint]]:
    """Two endpoints, each with one real SDK worker; importing the SDK takes seconds, so both start side by side."""
    folder = tmp_path_factory.mktemp("workers")
    with start(poll_hold=0.3, ping_interval=1) as plain, start(poll_hold=0.3, ping_interval=1) as streaming:
        workers = [
            start_worker(plain, folder / "worker.py", WORKER),
            start_worker(streaming, folder / "streamer.py", STREAMER),
        ]
        try:
            yield plain, streaming
            for worker in workers:
                worker.terminate()
            assert [worker.wait(timeout=20) for worker in workers] == [0, 0]
        finally:
            for worker in workers:
                worker.kill()


@pytest.fixture
def endpoint(endpoints: tuple[Endpoint, Endpoint]) -> Endpoint:
    """Its worker takes several jobs at a time, by job-take-batch."""
    return endpoints[0]


@pytest.fixture
def streaming_endpoint(endpoints: tuple[Endpoint, Endpoint]) -> Endpoint:
    """Its worker streams, one job at a time."""
    return endpoints[1]


def client_of(endpoint: Endpoint) -> Any:
    """The SDK's own client; it reads its base when it is made."""
    runpod.endpoint_url_base = f"{endpoint.url}/v2"
    return runpod.Endpoint("any", api_key="any key")


def health(endpoint: Endpoint) -> dict[str, Any]:
    return dict(requests.get(f"{endpoint.url}/health", timeout=10).json())


def report(endpoint: Endpoint, job_id: str) -> dict[str, Any]:
    return dict(requests.get(f"{endpoint.url}/status/{job_id}", timeout=10).json())


def submit(endpoint: Endpoint, job_input: dict[str, Any], **more: Any) -> str:
    reply = requests.post(f"{endpoint.url}/run", json={"input": job_input, **more}, timeout=10).json()
    return str(reply["id"])


def test_run_sync_of_the_client_returns_the_workers_output(endpoint: Endpoint) -> None:
    assert client_of(endpoint).run_sync({"text": "hello"}, timeout=20)["echo"] == {"text": "hello"}


def test_run_status_and_output_of_the_client_follow_a_job_to_its_end(endpoint: Endpoint) -> None:
    job = client_of(endpoint).run({"text": "hello"})
    assert job.status() in {"IN_QUEUE", "IN_PROGRESS", "COMPLETED"}
    assert job.output(timeout=20)["echo"] == {"text": "hello"}
    assert job.status() == "COMPLETED"


def test_the_handler_gets_policy_and_s3_config_beside_the_input(endpoint: Endpoint) -> None:
    job_id = submit(endpoint, {}, policy={"ttl": 60_000}, s3Config={"bucketName": "b"}, unknown=1)
    wait_for(lambda: report(endpoint, job_id)["status"] == "COMPLETED")
    assert report(endpoint, job_id)["output"]["keys"] == ["id", "input", "policy", "s3Config"]


def test_progress_shows_as_output_until_the_result_takes_its_place(endpoint: Endpoint) -> None:
    job_id = submit(endpoint, {"progress": {"percent": 40}, "sleep": 0.8})
    wait_for(lambda: report(endpoint, job_id).get("output") == {"percent": 40})
    assert report(endpoint, job_id)["status"] == "IN_PROGRESS"
    wait_for(lambda: report(endpoint, job_id)["status"] == "COMPLETED")
    final = report(endpoint, job_id)
    assert final["output"]["echo"]["sleep"] == 0.8
    assert final["executionTime"] >= 700
    assert final["delayTime"] >= 0
    assert final["workerId"].startswith("local-")


def test_an_error_reply_fails_the_job_and_keeps_its_other_keys_as_output(endpoint: Endpoint) -> None:
    job_id = submit(endpoint, {"error": "told: bad input"})
    wait_for(lambda: report(endpoint, job_id)["status"] == "FAILED")
    assert report(endpoint, job_id)["error"] == "told: bad input"
    assert report(endpoint, job_id)["output"] == {"code": "told"}


def test_an_exception_in_the_handler_fails_the_job_with_the_sdks_traceback(endpoint: Endpoint) -> None:
    job_id = submit(endpoint, {"raise": "boom"})
    wait_for(lambda: report(endpoint, job_id)["status"] == "FAILED")
    assert "ValueError" in report(endpoint, job_id)["error"]


def test_cancel_of_the_client_stops_the_running_handler_and_frees_the_worker(endpoint: Endpoint) -> None:
    job = client_of(endpoint).run({"sleep": 60})
    wait_for(lambda: job.status() == "IN_PROGRESS")
    assert job.cancel()["status"] == "CANCELLED"
    assert client_of(endpoint).run_sync({"next": 1}, timeout=20)["echo"] == {"next": 1}
    assert job.status() == "CANCELLED"


def test_a_result_over_the_limit_is_lost_and_the_job_completes_without_output(endpoint: Endpoint) -> None:
    lost = health(endpoint)["local"]["oversizedResults"]
    job_id = submit(endpoint, {"size": 10_000_001})
    wait_for(lambda: report(endpoint, job_id)["status"] == "COMPLETED")
    assert "output" not in report(endpoint, job_id)
    assert health(endpoint)["local"]["oversizedResults"] > lost


def test_runsync_carries_a_result_that_run_would_lose(endpoint: Endpoint) -> None:
    assert len(client_of(endpoint).run_sync({"size": 12_000_000}, timeout=20)["data"]) == 12_000_000


def test_health_of_the_client_counts_jobs_and_workers(endpoint: Endpoint) -> None:
    found = client_of(endpoint).health()
    assert set(found["jobs"]) == {"completed", "failed", "inProgress", "inQueue", "retried"}
    assert found["workers"]["idle"] + found["workers"]["running"] == 1
    assert found["jobs"]["completed"] > 0


def test_purge_queue_of_the_client_cancels_what_waits() -> None:
    with start() as without_worker:
        client = client_of(without_worker)
        waiting = client.run({"text": "hello"})
        assert client.purge_queue() == {"removed": 1, "status": "completed"}
        assert waiting.status() == "CANCELLED"


def test_the_asyncio_client_runs_follows_and_cancels_jobs(endpoint: Endpoint) -> None:
    runpod.endpoint_url_base = f"{endpoint.url}/v2"

    async def use_client() -> None:
        async with aiohttp.ClientSession() as session:
            client = runpod.AsyncioEndpoint("any", session, api_key="any key")
            job = await client.run({"text": "hello"})
            assert (await job.output(timeout=20))["echo"] == {"text": "hello"}
            assert await job.status() == "COMPLETED"
            long_job = await client.run({"sleep": 60})
            assert (await long_job.cancel())["status"] == "CANCELLED"
            assert (await client.health())["workers"]["unhealthy"] == 0
            assert (await client.purge_queue())["status"] == "completed"

    asyncio.run(use_client())


def test_a_generator_handlers_pieces_come_out_of_stream_in_order(streaming_endpoint: Endpoint) -> None:
    job = client_of(streaming_endpoint).run({"count": 3})
    assert list(job.stream()) == [{"number": 0}, {"number": 1}, {"number": 2}]
    assert job.status() == "COMPLETED"
