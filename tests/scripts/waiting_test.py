"""What a person sees and does while test_runpod_local.py waits for a job."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.helpers import wait_until
from tests.scripts.played_endpoint import (
    PROGRAM,
    PROGRESS,
    ROOT,
    PlayedEndpoint,
    Program,
    assert_fails,
    completed,
    state,
)


def test_a_status_request_that_fails_is_made_again(endpoint: PlayedEndpoint, called: Program) -> None:
    endpoint.replies = [state("IN_QUEUE"), completed()]
    endpoint.refusals = [(200, ""), (503, "busy")]
    assert called("async", "--url", endpoint.url).returncode == 0


def test_a_job_that_outlasts_the_timeout_is_cancelled(endpoint: PlayedEndpoint, called: Program) -> None:
    endpoint.replies = [state("IN_QUEUE")]
    assert_fails(called("async", "--url", endpoint.url, "--timeout", "0.1"), "IN_QUEUE", "--timeout", "no worker")
    assert endpoint.paths()[-1] == "POST /cancel/job-1"


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_cancels_the_job_on_the_endpoint(endpoint: PlayedEndpoint, tmp_path: Path, sent: int) -> None:
    endpoint.replies = [state("IN_PROGRESS")]
    command = [sys.executable, str(PROGRAM), "sync", "--url", endpoint.url]
    child = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: "GET /status/job-1" in endpoint.paths())
        child.send_signal(sent)
        _, told = child.communicate(timeout=30)
    finally:
        child.kill()
    assert child.returncode == 130
    assert "interrupted" in told
    assert endpoint.paths()[-1] == "POST /cancel/job-1"


def test_a_terminal_shows_percent_step_node_and_time_left(endpoint: PlayedEndpoint, tmp_path: Path) -> None:
    endpoint.replies = [state("IN_QUEUE"), state("IN_PROGRESS", output=PROGRESS), completed()]
    main, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    command = [sys.executable, str(PROGRAM), "async", "--url", endpoint.url]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=terminal) as child:
        os.close(terminal)
        drawn = read_all(main)
    assert child.returncode == 0, drawn
    assert re.search(r"IN_QUEUE 00:0\d", drawn)
    assert re.search(r"IN_PROGRESS Sample  42% .*step 8/20, 31 s left", drawn)


def read_all(terminal: int) -> str:
    drawn = b""
    with os.fdopen(terminal, "rb", buffering=0) as stream:
        try:
            while chunk := stream.read(4096):
                drawn += chunk
        except OSError:  # Linux's end of a terminal
            pass
    return drawn.decode()


@pytest.mark.parametrize("name", ["test_runpod_local.py", "test_handler_directly.py"])
def test_help_tells_every_option(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / name), "--help"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    for option in ("--image", "--prompt", "--frames", "--steps", "--seed", "--output", "--out"):
        assert option in done.stdout
