"""handler.py with its own local endpoint, told to end while a job runs: the caller who polls still gets the clip."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests

from tests.helpers import find_free_port, small_job, wait_until
from tests.pages import ROOT


def test_the_last_result_can_be_fetched_after_sigterm(tmp_path: Path) -> None:
    port = find_free_port()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RUNPOD_")}
    environ |= {"LOCAL_PORT": str(port), "COMFYUI_PORT": str(find_free_port()), "LOCAL_HOST": "127.0.0.1"}
    url = f"http://127.0.0.1:{port}"
    with (tmp_path / "log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "handler.py"], cwd=ROOT, env=environ, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_until(lambda: is_up(url), 60)
        job_id = requests.post(f"{url}/run", json={"input": small_job(steps=30)}, timeout=10).json()["id"]
        # Taken is not begun: a worker that is told to end in between drops the job.
        wait_until(lambda: "percent" in (status(url, job_id).get("output") or {}))
        worker.send_signal(signal.SIGTERM)
        wait_until(lambda: status(url, job_id, pause=0.1)["status"] not in {"IN_QUEUE", "IN_PROGRESS"})
        assert len(status(url, job_id)["output"]["outputs"]) == 6
        began = time.monotonic()
        worker.wait(30)
        assert time.monotonic() - began < 4  # nothing is waited for any more
    finally:
        with suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()


def is_up(url: str) -> bool:
    with suppress(requests.ConnectionError):
        return requests.get(f"{url}/health", timeout=2).ok
    return False


def status(url: str, job_id: str, pause: float = 0.0) -> dict[str, Any]:
    time.sleep(pause)
    answer: dict[str, Any] = requests.get(f"{url}/status/{job_id}", timeout=10).json()
    return answer
