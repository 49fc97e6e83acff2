"""The preview engine as a process of its own, so that it can die, hang, restart or run out of disk."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.helpers import find_free_port


@dataclass
class EngineProcess:
    popen: subprocess.Popen[str]
    url: str
    home: Path


@contextmanager
def engine_process(home: Path, scenario: str = '{"step_seconds": 0.01}', port: int = 0) -> Iterator[EngineProcess]:
    """Ready when this is entered, killed when it is left, also if it is stopped by a signal."""
    command = [sys.executable, "-m", "local.engine", "--port", str(port), "--home", str(home), "--scenario", scenario]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as popen:
        try:
            assert popen.stdout is not None
            yield EngineProcess(popen, popen.stdout.readline().split()[-1], home)  # it tells its URL when it is ready
        finally:
            popen.send_signal(signal.SIGKILL)


ROOT = Path(__file__).parents[1]
MAIN = "import runpy; runpy.run_module('local.engine', run_name='__main__', alter_sys=True)"
GOOD = '{"step_seconds": 0.01}'


@dataclass
class Supervised:
    """The preview engine as main.py, started again, as `again` has it, whenever it ends, as builder.sh does it."""

    home: Path
    url: str
    pid_file: Path
    starts: int = 0


@contextmanager
def supervised(home: Path, scenario: str, again: str = GOOD) -> Iterator[Supervised]:
    port, main, ended = find_free_port(), home / "main.py", threading.Event()
    main.write_text(MAIN)
    engine = Supervised(home, f"http://127.0.0.1:{port}", home / "pid")
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    running: list[subprocess.Popen[bytes]] = []

    def supervise() -> None:
        while not ended.is_set():
            said = again if engine.starts else scenario
            command = [sys.executable, main.name, "--port", str(port), "--home", str(home), "--scenario", said]
            running.append(subprocess.Popen(command, cwd=home, env=environ, stdout=subprocess.DEVNULL))
            engine.pid_file.write_text(f"{running[-1].pid}\n")
            engine.starts += 1
            running[-1].wait()

    thread = threading.Thread(target=supervise)
    thread.start()
    try:
        yield engine
    finally:
        ended.set()
        running[-1].kill()
        thread.join()
