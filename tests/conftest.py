"""What tests of several kinds share: pictures, settings, and one job run against an engine."""

import base64
import io
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest
from PIL import Image

from worker import config, job
from worker.config import Settings


class Engine(Protocol):
    url: str
    home: Path | None


Run = Callable[..., dict[str, Any]]


def picture(width: int = 96, height: int = 64, fmt: str = "PNG") -> str:
    """A colour gradient, base64."""
    image = Image.linear_gradient("L").resize((width, height))
    buffer = io.BytesIO()
    Image.merge("RGB", (image, image.transpose(Image.Transpose.ROTATE_180), image)).save(buffer, fmt)
    return base64.b64encode(buffer.getvalue()).decode()


def small(**fields: Any) -> dict[str, Any]:
    """A job's input that runs in a moment; `fields` are added or replace it."""
    wanted = {
        "image": picture(),
        "prompt": "it moves",
        "width": 96,
        "height": 64,
        "num_frames": 5,
        "steps": 2,
        "seed": 7,
    }
    return {**wanted, **fields}


def settings_for(engine: Engine, **changes: Any) -> Settings:
    """The worker's settings for this engine, `changes` applied."""
    environ = {"COMFYUI_URL": engine.url, "COMFYUI_DIR": str(engine.home or "")}
    return config.read(environ).model_copy(update=changes)


@pytest.fixture(name="small")
def small_input() -> Callable[..., dict[str, Any]]:
    return small


@pytest.fixture(name="picture")
def picture_maker() -> Callable[..., str]:
    return picture


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
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--comfyui", help="URL of a real ComfyUI for tests/real")
    parser.addoption(
        "--comfyui-dir", help="the folder with its input, output and temp, to check that jobs leave nothing"
    )
    parser.addoption("--comfyui-command", help="starts a real ComfyUI that tests/real may kill, all but its --port")
    parser.addoption("--rounds", type=int, default=3, help="how often tests/real repeats what it repeats")
    parser.addoption("--soak-jobs", type=int, default=20, help="how many jobs the soak runs")
    parser.addoption("--fuzz-requests", type=int, default=60, help="how many requests the fuzz generates")
    parser.addoption("--fuzz-workflows", type=int, default=40, help="how many workflows the fuzz generates")
