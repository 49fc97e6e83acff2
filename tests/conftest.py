"""Fixtures of all tests: a job's input, one job run against an engine, and the suite's options."""

import os
import resource
import socket
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.helpers import Engine, find_free_port, gradient, settings_for, small_job
from worker import job
from worker.input import decoder

Run = Callable[..., dict[str, Any]]


@pytest.fixture(name="small")
def small_input() -> Callable[..., dict[str, Any]]:
    return small_job


@pytest.fixture(name="picture")
def picture_maker() -> Callable[..., str]:
    return gradient


@pytest.fixture
def run() -> Run:
    """Run one job in this thread: run(engine, input, report=..., cancelled=..., job_id=..., **settings)."""

    def run_job(
        engine: Engine,
        job_input: Any,
        report: Callable[[dict[str, Any]], None] = lambda _: None,
        cancelled: threading.Event | None = None,
        job_id: str = "sync-test",
        **changes: Any,
    ) -> dict[str, Any]:
        event = {"id": job_id, "input": job_input}
        return job.run(event, settings_for(engine, **changes), report, cancelled or threading.Event())

    return run_job


@pytest.fixture
def free_port() -> int:
    return find_free_port()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--comfyui", help="URL of a real ComfyUI for tests/real")
    parser.addoption(
        "--comfyui-dir", help="the folder with its input, output and temp, to check that jobs leave nothing"
    )
    parser.addoption("--comfyui-command", help="starts a real ComfyUI that tests/real may kill, all but its --port")
    parser.addoption("--rounds", type=int, default=3, help="how often tests/real repeats what it repeats")
    parser.addoption("--soak-jobs", type=int, default=20, help="how many jobs the soak runs")
    parser.addoption("--fuzz-requests", type=int, default=60, help="how many requests the fuzz generates")
    parser.addoption("--fuzz-answers", type=int, default=40, help="how many answers of ComfyUI the fuzz generates")
    parser.addoption("--fuzz-workflows", type=int, default=40, help="how many workflows the fuzz generates")


@pytest.fixture(autouse="MUTANT_UNDER_TEST" in os.environ)
def decode_here() -> None:
    """For `make mutants`: what the decoder's child does, a thread does, where mutmut sees it."""
    vars(decoder)["resource"] = SimpleNamespace(**{**vars(resource), "setrlimit": lambda *_: None})
    if not isinstance(decoder.SHARED._child, Thread):  # a test before may have ended it
        decoder.SHARED._child = Thread()


class Thread(decoder._Child):
    """A decoder's child in this process."""

    def __init__(self) -> None:
        self._line, other = socket.socketpair()
        self._line.settimeout(decoder.TICK)
        self._process = cast(Any, SimpleNamespace(poll=lambda: None, kill=lambda: None, wait=lambda: None))
        threading.Thread(target=decoder._serve, args=[other, os.getppid()], daemon=True).start()
