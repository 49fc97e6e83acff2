"""A real ComfyUI, killed at random moments of jobs and started again: `--comfyui-command "python main.py ..."`.

The command is given without `--port`; the folders it works in are those of --comfyui-dir.
"""

import random
import shlex
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from worker.comfyui import ComfyUI, wait_for_answer
from worker.errors import ComfyUIUnavailable

pytestmark = pytest.mark.timeout(3600)
BOOT = 120.0
LATEST = 4.0  # seconds after its first progress at which a job is killed: it takes longer than that


class Process:
    """ComfyUI as a process that can be killed and started again."""

    def __init__(self, command: str, port: int, home: str | None) -> None:
        self.url, self.home = f"http://127.0.0.1:{port}", Path(home) if home else None
        self._command = [*shlex.split(command), "--port", str(port)]
        self._start()

    def _start(self) -> None:
        self._popen = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        self._popen.kill()
        self._popen.wait()

    def restart(self) -> None:
        self.kill()
        self._start()


@pytest.fixture
def comfyui(request: pytest.FixtureRequest, free_port: int) -> Iterator[Process]:
    command = request.config.getoption("--comfyui-command")
    if not command:
        pytest.skip("no --comfyui-command: no real ComfyUI was killed here")
    process = Process(command, free_port, request.config.getoption("--comfyui-dir"))
    try:
        wait_for_answer(ComfyUI(process.url), BOOT, lambda: None)
        yield process
    finally:
        process.kill()


def test_a_job_that_comfyui_dies_under_says_so_and_the_next_one_waits_for_it_and_runs(comfyui, run, small, rounds):
    """`folders_are_left_as_found` checks what all rounds together leave."""
    for _ in range(max(1, rounds // 5)):
        killers: list[threading.Timer] = []

        def kill_soon(_progress: Any, killers: list[threading.Timer] = killers) -> None:
            if not killers:
                killers.append(threading.Timer(random.random() * LATEST, comfyui.restart))
                killers[0].start()

        with pytest.raises(ComfyUIUnavailable, match="send it again"):
            run(comfyui, small(width=128, height=96, num_frames=9, steps=100), report=kill_soon)
        killers[0].join()
        assert len(run(comfyui, small(seed=random.randrange(2**32)), boot_timeout=BOOT)["outputs"]) == 6
