"""The worker as a child process, for the time of one run."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import requests

from client.arguments import ROOT
from client.errors import RunError

START_SECONDS = 120
STOP_SECONDS = 8
HANDLER = ROOT / "handler.py"


@contextlib.contextmanager
def worker_process(log: Path, handler: Path = HANDLER) -> Iterator[str]:
    """Start handler.py with its local endpoint on a free port, yield the endpoint's URL, and stop it whatever happens.

    Its output goes to `log`. Raises RunError when the worker does not come up or ends before its time.
    """
    port = _free_port()
    with log.open("wb") as output:
        # A session of its own: Ctrl-C in the terminal reaches this program alone, which cancels the job first.
        child = subprocess.Popen(  # noqa: S603 - this interpreter, this repository's handler
            [sys.executable, str(handler)],
            cwd=handler.parent,
            env={**os.environ, "LOCAL_PORT": str(port), "PYTHONUNBUFFERED": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        url = f"http://localhost:{port}"
        _wait_until_up(child, url, log)
        yield url
    except RunError as error:
        if child.poll() is None:
            raise RunError(f"{error} (worker's log: {log})") from error
        raise RunError(f"the worker ended with exit code {child.returncode}: {_last_line(log)} (log: {log})") from error
    finally:
        _stop(child)


def _wait_until_up(child: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    with requests.Session() as session:
        session.trust_env = False
        while time.monotonic() < deadline and child.poll() is None:
            with contextlib.suppress(requests.RequestException):
                if session.get(f"{url}/health", timeout=2).ok:
                    return
            time.sleep(0.1)
    raise RunError(f"the worker does not answer at {url} after {START_SECONDS} s")


def _stop(child: "subprocess.Popen[bytes]") -> None:
    child.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(STOP_SECONDS)
    # What is left of its session: the worker itself when it does not obey, and children that outlived it.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
