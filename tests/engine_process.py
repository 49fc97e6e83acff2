"""The preview engine as a process of its own, so that it can die, hang, restart or run out of disk."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


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
