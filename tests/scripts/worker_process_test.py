"""The worker as a child process, tried with small handler.py files."""

import os
import time
from pathlib import Path

import pytest
import requests

from client.errors import RunError
from client.worker_process import worker_process

SERVER = """
import http.server, os, subprocess, sys
helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("helper", helper.pid, flush=True)
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(os.environ["LOCAL_PORT"])), Health).serve_forever()
"""


@pytest.fixture
def handler(tmp_path: Path) -> Path:
    path = tmp_path / "handler.py"
    path.write_text(SERVER)
    return path


def helper_is_alive(log: Path) -> bool:
    """Whether the process that the worker started runs; one that ended and waits to be collected does not."""
    stat = Path("/proc", log.read_text().split()[1], "stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for_end(log: Path) -> bool:
    deadline = time.monotonic() + 10
    while helper_is_alive(log) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not helper_is_alive(log)


def test_the_worker_answers_inside_and_is_gone_with_its_children_afterwards(handler: Path, tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    with worker_process(log, handler) as url:
        assert requests.get(f"{url}/health", timeout=5).ok
        assert helper_is_alive(log)
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{url}/health", timeout=5)
    assert wait_for_end(log)


def test_the_worker_is_stopped_when_the_run_fails(handler: Path, tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    with pytest.raises(RunError, match=r"the reason .*worker\.log"), worker_process(log, handler):
        raise RunError("the reason")
    assert wait_for_end(log)


def test_a_worker_that_ends_early_is_told_with_its_last_line(handler: Path, tmp_path: Path) -> None:
    handler.write_text("print('config: LOCAL_PORT is taken'); raise SystemExit(3)")
    reason = "exit code 3: config: LOCAL_PORT is taken"
    with pytest.raises(RunError, match=reason), worker_process(tmp_path / "worker.log", handler):
        pass


def test_each_run_has_a_port_of_its_own(handler: Path, tmp_path: Path) -> None:
    with worker_process(tmp_path / "a.log", handler) as first, worker_process(tmp_path / "b.log", handler) as second:
        assert first != second
    assert not {name for name in os.environ if name == "LOCAL_PORT"}
