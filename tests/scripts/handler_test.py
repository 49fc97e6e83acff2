"""handler.py as a process: what keeps it from starting is one line that says what to do."""

import os
import socket
import subprocess
import sys

import pytest

from tests.pages import ROOT


def run_handler(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "handler.py", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environ}, capture_output=True, text=True, timeout=60, check=False
    )


def test_help_is_the_workers_own_and_nothing_starts() -> None:
    done = run_handler("--help")
    assert done.returncode == 0
    assert "handler.py" in done.stdout
    assert "rp_" not in done.stdout + done.stderr


def test_a_comfyui_that_is_named_and_does_not_answer_is_an_error_and_no_preview() -> None:
    done = run_handler(COMFYUI_URL="http://127.0.0.1:9", LOG_LEVEL="ERROR")
    assert done.returncode == 1
    assert "COMFYUI_URL=http://127.0.0.1:9" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_port_that_another_program_has_is_told_with_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run_handler(LOCAL_HOST="127.0.0.1", LOCAL_PORT=port, COMFYUI_PORT="9", LOG_LEVEL="ERROR")
    assert done.returncode == 1
    assert done.stderr.startswith("handler.py: LOCAL_PORT: port ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("program", ["handler.py", "test_handler_directly.py", "test_runpod_local.py"])
def test_outside_the_environment_one_line_says_what_to_do(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-S", program, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{program}: this Python, {sys.executable}, has no package ")
    assert done.stderr.count("\n") == 1
