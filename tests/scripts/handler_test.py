"""handler.py as a process: what keeps it from starting is one line that says what to do."""

import os
import socket
import subprocess
import sys

from tests.pages import ROOT


def test_a_port_that_another_program_has_is_told_with_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        environ = {**os.environ, "LOCAL_HOST": "127.0.0.1", "LOCAL_PORT": str(taken.getsockname()[1])}
        environ |= {"COMFYUI_URL": "http://127.0.0.1:9", "LOG_LEVEL": "ERROR"}
        done = subprocess.run(
            [sys.executable, "handler.py"],
            cwd=ROOT,
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("handler.py: LOCAL_PORT: port ")
    assert done.stderr.count("\n") == 1
