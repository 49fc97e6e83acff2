"""How long ComfyUI idles between two queued jobs, with WORKER_CONCURRENCY 1 and 2: `python -m bench.idle --help`.

handler.py takes jobs from a local endpoint's queue and runs them on a real ComfyUI with tiny random weights. The times
are ComfyUI's own (bench/probe): from one prompt's end to the next one's start.

While the SDK has as many jobs as it takes, it looks once a second whether one has ended. So the pause hangs on where in
that second a job ends: jobs of one length give any result between 0 and 1 s, and the same one again and again. Here
they have several lengths, all of more than a second, as clips have.
"""

import argparse
import base64
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests

from bench import pictures, real_comfyui, weights
from local import endpoint as platform

ROOT = Path(__file__).parents[1]
FIELDS = {"preset": "fast", "width": 96, "height": 64, "num_frames": 5}
STEPS = (6, 9, 7, 10, 8)  # of one job after the other
FINAL = ("COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT")
QUIET = {
    "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
    "RUNPOD_SKIP_GPU_CHECK": "true",
    "LOG_LEVEL": "WARNING",
    "RUNPOD_LOG_LEVEL": "ERROR",
}


def measure(url: str, base: Path, concurrency: int, jobs: int) -> list[float]:
    """Seconds between each job and the next one, which were all in the queue from the beginning."""
    known = len(_read(base))
    with platform.start(ping_interval=1) as endpoint:
        environ = {**os.environ, **endpoint.worker_environ(), **QUIET, "COMFYUI_URL": url, "COMFYUI_DIR": str(base)}
        environ["WORKER_CONCURRENCY"] = str(concurrency)
        waiting = [_submit(endpoint.url, number) for number in range(jobs)]
        command = [sys.executable, str(ROOT / "handler.py")]
        worker = subprocess.Popen(command, env=environ, start_new_session=True, stdout=subprocess.DEVNULL)
        try:
            while waiting:
                report = requests.get(f"{endpoint.url}/status/{waiting[0]}", timeout=30).json()
                if report["status"] == "COMPLETED":
                    waiting.pop(0)
                elif report["status"] in FINAL:
                    sys.exit(f"bench.idle: a job failed: {report}")
                time.sleep(0.2)
        finally:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
    return _gaps(_read(base)[known:])


def _submit(url: str, number: int) -> str:
    image = base64.b64encode(pictures.photograph(number)).decode()
    body = {
        "input": {
            "image": image,
            "prompt": f"take {number}",
            "seed": number,
            "steps": STEPS[number % len(STEPS)],
            **FIELDS,
        }
    }
    return str(requests.post(f"{url}/run", json=body, timeout=30).json()["id"])


def _read(base: Path) -> list[dict[str, Any]]:
    path = base / real_comfyui.EVENTS
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def _gaps(events: Sequence[dict[str, Any]]) -> list[float]:
    starts = [event["at"] for event in events if event["kind"] == "execution_start"]
    ends = [event["at"] for event in events if event["kind"] == "execution_success"]
    return [start - end for end, start in zip(ends, starts[1:], strict=False)]


def compare(url: str, base: Path, jobs: int) -> None:
    """Print the pauses of each, the first one left out: the models are loaded before it."""
    for concurrency in (1, 2):
        gaps = measure(url, base, concurrency, jobs)[1:]
        print(
            f"  WORKER_CONCURRENCY={concurrency}  idle between two jobs: mean {statistics.mean(gaps):.2f} s,"
            f" median {statistics.median(gaps):.2f} ({min(gaps):.2f} to {max(gaps):.2f}, {len(gaps)} pauses)",
            flush=True,
        )


def main() -> None:
    """Start ComfyUI and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    real_comfyui.add_arguments(parser)
    parser.add_argument("--jobs", type=int, default=26, help="of each; default: %(default)s")
    options = parser.parse_args()
    real_comfyui.leave_on_sigterm()
    with tempfile.TemporaryDirectory(prefix="bench-idle-") as name:
        base, models = Path(name, "base"), Path(name, "weights")
        weights.write_all(models, "tiny", ["fast"])
        real_comfyui.make_base(base, models, tiny=True)
        with real_comfyui.run(real_comfyui.read_installation(options), base) as running:
            compare(running.url, base, options.jobs)


if __name__ == "__main__":
    main()
