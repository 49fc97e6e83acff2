"""The real handler.py as a process that takes jobs from a local endpoint, for tests of several kinds."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import requests

from local import endpoint as platform
from local import engine as preview
from tests.helpers import wait_until

ROOT = Path(__file__).parents[1]
UNCHECKED = {"RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true", "RUNPOD_SKIP_GPU_CHECK": "true"}
FINAL = ("COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT")


class Worker:
    """handler.py with the platform's environment; its output is in `log`."""

    def __init__(
        self, process: subprocess.Popen[bytes], endpoint: platform.Endpoint, log: Path, environ: Mapping[str, str]
    ) -> None:
        self.process, self.endpoint, self._log, self.environ = process, endpoint, log, environ

    @property
    def log(self) -> str:
        return self._log.read_text()

    def submit(self, job_input: dict[str, Any], **request: Any) -> str:
        response = requests.post(f"{self.endpoint.url}/run", json={"input": job_input, **request}, timeout=10)
        return str(response.json()["id"])

    def status(self, job_id: str) -> dict[str, Any]:
        report: dict[str, Any] = requests.get(f"{self.endpoint.url}/status/{job_id}", timeout=10).json()
        return report

    def finish(self, job_id: str) -> dict[str, Any]:
        wait_until(lambda: self.status(job_id)["status"] in FINAL)
        return self.status(job_id)

    def wait_for_progress(self, job_id: str) -> dict[str, Any]:
        wait_until(lambda: "percent" in (self.status(job_id).get("output") or {}))
        output: dict[str, Any] = self.status(job_id)["output"]
        return output


@contextmanager
def worker_at(
    engine_url: str, log: Path, *arguments: str, options: Mapping[str, Any] | None = None, **environ: str
) -> Iterator[Worker]:
    """handler.py at work; `options` are the local endpoint's, `environ` the process's."""
    with platform.start(**{"poll_hold": 0.5, "ping_interval": 1, **(options or {})}) as endpoint:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RUNPOD_")}
        environment = {**inherited, **endpoint.worker_environ(), **UNCHECKED, "COMFYUI_URL": engine_url, **environ}
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-u", str(ROOT / "handler.py"), *arguments],
                env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        try:
            yield Worker(process, endpoint, log, environ)
        finally:
            with suppress(ProcessLookupError):  # it has ended by itself, and nothing of it lives on
                os.killpg(process.pid, signal.SIGKILL)  # the SDK's heartbeat is a child that would live on
            process.wait()


def queue_is_empty(engine: preview.Engine) -> bool:
    queue = requests.get(f"{engine.url}/queue", timeout=10).json()
    return not queue["queue_running"] and not queue["queue_pending"]
