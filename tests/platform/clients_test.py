"""The Python and the JavaScript SDK, unchanged, as clients of the local endpoint, with handler.py behind it."""

import asyncio
import base64
import io
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import av
import pytest
import runpod

from local import engine as preview
from tests.helpers import gradient, small_job, wait_until
from tests.javascript_modules import javascript_modules
from tests.worker_process import Worker, worker_at

ROOT = Path(__file__).parents[2]
SIDES = {"width": 512, "height": 512, "crop": "disabled"}


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    log = tmp_path_factory.mktemp("worker") / "log"
    with preview.start() as engine, worker_at(engine.url, log, COMFYUI_DIR=str(engine.home)) as running:
        yield running


@pytest.fixture
def client(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(runpod, "endpoint_url_base", f"{worker.endpoint.url}/v2")
    return runpod.Endpoint("any", api_key="any key")


def is_a_clip(report: dict[str, Any]) -> bool:
    return report["status"] == "COMPLETED" and len(report["output"]["outputs"]) == 6


def test_run_sync_of_the_python_sdk_brings_the_clip(client: Any) -> None:
    assert len(client.run_sync(small_job(), timeout=60)["outputs"]) == 6


def test_run_status_output_and_stream_of_the_python_sdk_follow_a_job_to_its_clip(client: Any) -> None:
    job = client.run(small_job())
    assert job.status() in {"IN_QUEUE", "IN_PROGRESS", "COMPLETED"}
    assert len(job.output(timeout=60)["outputs"]) == 6
    assert job.status() == "COMPLETED"
    assert list(client.run(small_job()).stream()) == []  # the worker streams nothing, and stream ends with the job


def test_health_purge_and_cancel_of_the_python_sdk_count_clear_and_stop(client: Any) -> None:
    running, waiting = client.run(small_job(steps=100)), client.run(small_job(steps=100))
    wait_until(lambda: running.status() == "IN_PROGRESS")
    assert {name: client.health()["jobs"][name] for name in ("inProgress", "inQueue")} == {
        "inProgress": 1,
        "inQueue": 1,
    }
    assert client.purge_queue() == {"removed": 1, "status": "completed"}
    assert waiting.status() == "CANCELLED"
    assert running.cancel()["status"] == "CANCELLED"
    assert running.status() == "CANCELLED"
    assert len(client.run_sync(small_job(), timeout=60)["outputs"]) == 6


def test_the_asyncio_client_runs_follows_and_cancels_jobs(client: Any) -> None:
    async def use_client() -> None:
        async with aiohttp.ClientSession() as session:
            endpoint = runpod.AsyncioEndpoint("any", session, api_key="any key")
            job = await endpoint.run(small_job())
            assert len((await job.output(timeout=60))["outputs"]) == 6
            assert await job.status() == "COMPLETED"
            long_job = await endpoint.run(small_job(steps=100))
            assert (await long_job.cancel())["status"] == "CANCELLED"
            assert (await endpoint.health())["workers"]["unhealthy"] == 0

    asyncio.run(use_client())


def run_script(name: str, worker: Worker, **environ: str) -> dict[str, Any]:
    """What a script of tests/javascript tells in its last line."""
    where = {"ENDPOINT_ID": "any", "RUNPOD_ENDPOINT_BASE_URL": f"{worker.endpoint.url}/v2"}
    command = ["node", str(javascript_modules() / name)]
    done = subprocess.run(
        command, env={**os.environ, **where, **environ}, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])  # above it the packages' own lines
    return told


def test_the_vercel_ai_sdk_gets_a_video_of_the_size_and_length_it_asks_for(worker: Worker) -> None:
    found = run_script("ai_sdk.mjs", worker, IMAGE=str(ROOT / "examples" / "rocket.jpg"))
    assert (found["count"], found["mediaType"]) == (1, "video/mp4")
    with av.open(io.BytesIO(base64.b64decode(found["base64"]))) as video:
        frames = list(video.decode(video=0))
    assert [(frame.width, frame.height) for frame in frames] == [(320, 240)] * 9


def test_a_client_that_takes_any_output_for_the_result_waits_for_its_image(worker: Worker) -> None:
    """SillyTavern's loop: twice a second, whatever the status, `output.images[0]`."""
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
        "2": {"class_type": "ImageScale", "inputs": {"image": ["1", 0], "upscale_method": "area", **SIDES}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "a"}},
    }
    job_id = worker.submit({"workflow": graph, "images": [{"name": "a.png", "image": gradient()}]})
    while True:
        output = worker.status(job_id).get("output")
        if image := output and next(iter(output["images"]), None):
            break
    assert base64.b64decode(image["data"])[:4] == b"\x89PNG"


@pytest.fixture(scope="module")
def found(worker: Worker) -> dict[str, Any]:
    """What each call of tests/javascript/sdk.mjs brought."""
    return run_script("sdk.mjs", worker, RUNPOD_API_KEY="any key", JOB_INPUT=json.dumps(small_job()))


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("runSync", is_a_clip),
        ("runSyncPastItsTime", lambda report: report["id"] and not report["completed"]),
        ("statusSync", is_a_clip),
        ("run", lambda answer: answer["status"] == "IN_QUEUE" and answer["id"]),
        ("status", lambda report: is_a_clip(report) and report["succeeded"]),
        ("stream", lambda pieces: pieces == []),
        ("progress", lambda report: 0 <= report["output"]["percent"] < 100 and not report["completed"]),
        ("health", lambda health: (health["jobs"]["inProgress"], health["jobs"]["inQueue"]) == (1, 1)),
        ("purgeQueue", lambda answer: answer == {"removed": 1, "status": "completed"}),
        ("purged", lambda report: report["status"] == "CANCELLED"),
        ("cancel", lambda answer: answer["status"] == "CANCELLED"),
        ("cancelled", lambda report: report["status"] == "CANCELLED" and report["completed"]),
    ],
)
def test_a_call_of_the_javascript_sdk_brings_what_the_platform_would(
    found: dict[str, Any], call: str, told: Callable[[Any], bool]
) -> None:
    assert told(found[call]), found[call]
