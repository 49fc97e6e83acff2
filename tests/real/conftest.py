"""A real ComfyUI for the tests here: `--comfyui URL [--comfyui-dir DIR] [--rounds N]`; skipped without one."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from worker.comfyui import ComfyUI


@pytest.fixture(scope="session")
def comfyui(request):
    url, home = request.config.getoption("--comfyui"), request.config.getoption("--comfyui-dir")
    if not url:
        pytest.skip("no --comfyui URL: nothing here ran on a real ComfyUI")
    stats = ComfyUI(url).stats()
    assert "stand_in" not in stats, f"{url} is a stand-in, not ComfyUI"
    return SimpleNamespace(url=url, home=Path(home) if home else None)


@pytest.fixture
def rounds(request):
    return request.config.getoption("--rounds")


@pytest.fixture(autouse=True)
def folders_are_left_as_found(comfyui):
    def listing():
        return {str(path) for folder in ("input", "output", "temp") for path in (comfyui.home / folder).rglob("*")}

    before = listing() if comfyui.home else set()
    yield
    assert ComfyUI(comfyui.url).place("").idle
    assert not comfyui.home or listing() == before
