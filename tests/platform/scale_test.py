"""bench/scale.py beside the local endpoint with workers of the real SDK: the same clips wait as long in both."""

import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import requests

from bench.scale import Clip, Endpoint, Load, simulate
from local import endpoint as platform
from tests.helpers import wait_until
from tests.worker_process import FINAL, UNCHECKED

WORKERS = 3
WORKER = """
import asyncio, runpod

async def handler(job):
    await asyncio.sleep(job["input"]["seconds"])
    return {}

if __name__ == "__main__":  # the SDK's heartbeat process imports this again, from Python 3.14 on
    runpod.serverless.start({"handler": handler})
"""
QUIET = {"RUNPOD_LOG_LEVEL": "ERROR"}
GAP = 0.6  # the SDK looks for a job once a second, and hands it on within 0.1 s


def wait(endpoint: platform.Endpoint, clips: list[Clip]) -> list[float]:
    """Seconds that each clip waits for a worker."""
    began, ids = time.monotonic(), []
    for clip in clips:
        time.sleep(max(0.0, began + clip.arrival - time.monotonic()))
        body = {"input": {"seconds": clip.seconds}}
        ids.append(requests.post(f"{endpoint.url}/run", json=body, timeout=10).json()["id"])

    def report(job_id: str) -> dict[str, Any]:
        return dict(requests.get(f"{endpoint.url}/status/{job_id}", timeout=10).json())

    wait_until(lambda: all(report(job_id)["status"] in FINAL for job_id in ids))
    return [report(job_id)["delayTime"] / 1000 for job_id in ids]


def test_clips_wait_for_several_workers_as_simulated(tmp_path: Path) -> None:
    clips = Load(rate=1.6 * 3600, burst=3, clip=1.5, spread=0.3).clips(24, seed=3)
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    with platform.start(poll_hold=0.3, ping_interval=1) as endpoint:
        environs = [os.environ | endpoint.worker_environ() | UNCHECKED | QUIET for _ in range(WORKERS)]
        command = [sys.executable, str(script)]
        workers = [subprocess.Popen(command, env=environ, start_new_session=True) for environ in environs]
        try:
            wait_until(lambda: requests.get(f"{endpoint.url}/health", timeout=10).json()["workers"]["idle"] == WORKERS)
            waited = wait(endpoint, clips)
        finally:
            for worker in workers:
                os.killpg(worker.pid, signal.SIGKILL)  # with the SDK's heartbeat, a child that would live on
                worker.wait()

    def distance(count: int) -> float:
        simulated = simulate(Endpoint(min=count, max=count, gap=GAP), clips).waits
        return statistics.mean(abs(one - other) for one, other in zip(waited, simulated, strict=True))

    assert distance(WORKERS) < 0.5
    assert min(distance(WORKERS - 1), distance(WORKERS + 1)) > 2 * distance(WORKERS)
