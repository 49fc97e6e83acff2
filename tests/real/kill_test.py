"""A real ComfyUI, killed at random moments of jobs and started again: `--comfyui-command "python main.py ..."`.

The command is given without `--port`; the folders it works in are those of --comfyui-dir.
"""

import random
import shlex
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from worker.comfyui import ComfyUI, Limits, Prompt, Scope, execute, wait_for_answer
from worker.errors import ComfyUIUnavailable
from worker.graph import Graph

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

    def has_ended(self) -> bool:
        return self._popen.wait(10) is not None

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


def test_a_prompt_thread_that_dies_ends_comfyui_and_the_job_at_once_and_the_next_one_runs(comfyui, run, small):
    """By a bad link in an input that nobody looks at, from a node in the cache: the worker lets no caller send one."""
    graph: dict[str, Any] = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 32, "height": 32, "batch_size": 1, "color": 0}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }
    limits = Limits(time.monotonic() + 600, 600, 5, threading.Event())
    with Scope(comfyui.home) as scope, closing(ComfyUI(comfyui.url)) as client:
        execute(client, Prompt(str(uuid.uuid4()), Graph(graph)), limits, scope, lambda _: None)
        graph["2"]["inputs"]["unknown"] = ["1", 99]
        began = time.monotonic()
        with pytest.raises(ComfyUIUnavailable, match=r"died|does not answer"):  # later, or as it is taken
            execute(client, Prompt(str(uuid.uuid4()), Graph(graph)), limits, scope, lambda _: None)
        assert time.monotonic() - began < 60
    assert comfyui.has_ended()
    comfyui.restart()
    assert len(run(comfyui, small(), boot_timeout=BOOT)["outputs"]) == 6
