"""The memory that a job takes in the process with the SDK, beside worker-comfyui's way: `python -m bench.memory`.

handler.py and a process that has the SDK and nothing else (bench/peers.py) take the same jobs from a local endpoint,
on the preview engine. Shown is the most that each had after some jobs (VmHWM), what it has when it waits for the first,
and what the worker's child that decodes has beside it.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import requests

from bench import overhead
from bench.idle import QUIET
from local import endpoint as platform

ROOT = Path(__file__).parents[1]
JOBS = 4
PEER = "websocket, then /view"


@dataclass(frozen=True)
class Peak:
    """MB of one way: waiting for its first job, at most, and at most of its children."""

    idle: float
    most: float
    children: float


def measure(command: list[str], variables: Mapping[str, str], clip: overhead.Clip, *, peer: bool) -> Peak:
    """Run jobs through that process."""
    with platform.start(ping_interval=1) as endpoint:
        environ = {**os.environ, **endpoint.worker_environ(), **QUIET, **variables}
        process = subprocess.Popen(command, env=environ, cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL)
        try:
            while not requests.get(f"{endpoint.url}/health", timeout=30).json()["workers"]["idle"]:
                time.sleep(0.1)
            time.sleep(1)
            idle = _read(process.pid, "VmRSS")
            for number in range(JOBS):
                job_input = clip.peers_input(number) if peer else clip.job_input(number)
                report = requests.post(f"{endpoint.url}/runsync", json={"input": job_input}, timeout=120).json()
                if report["status"] != "COMPLETED":
                    sys.exit(f"bench.memory: a job failed: {str(report)[:500]}")
            return Peak(idle, _read(process.pid, "VmHWM"), sum(_read(pid, "VmHWM") for pid in _children(process.pid)))
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _read(pid: int, field: str) -> float:
    """A figure of the process in MB. https://man7.org/linux/man-pages/man5/proc_pid_status.5.html"""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(field))


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text(encoding="ascii").split()]


def compare(clip: overhead.Clip) -> tuple[Peak, Peak]:
    """The worker's and the other way's."""
    with overhead.preview_engine() as (url, home):
        own = {"COMFYUI_URL": url, "COMFYUI_DIR": home}
        ours = measure([sys.executable, "handler.py"], own, clip, peer=False)
        return ours, measure([sys.executable, "-m", "bench.peers", url], {}, clip, peer=True)


def main() -> None:
    """Print the comparison."""
    argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0]).parse_args()
    for clip in overhead.clips():
        print(f"{clip.name}:")
        for name, peak in zip(("worker", PEER), compare(clip), strict=True):
            beside = f", {peak.children:.0f} MB in its child" if peak.children else ""
            print(f"  {name:<22} {peak.most:4.0f} MB at most, {peak.idle:.0f} MB waiting{beside}", flush=True)


if __name__ == "__main__":
    main()
