"""The whole boot: builder.sh with the real handler.py and a preview engine in ComfyUI's place."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from local import endpoint as platform
from tests.model_files import VAE
from tests.scripts.container import BUILDER, ROOT, Container, wait_for
from tests.worker_process import FINAL, UNCHECKED

# It takes its time, as ComfyUI does, and is slow enough to be killed under a job.
MAIN = f"""
import os, pathlib, sys, time
print("comfyui pid", os.getpid(), flush=True)
time.sleep(1)
sys.path.insert(0, {str(ROOT)!r})
from local import engine
slow = engine.Scenario(step_seconds=0.1)
with engine.start(int(sys.argv[sys.argv.index("--port") + 1]), home=pathlib.Path.cwd(), scenario=slow) as running:
    print("To see the GUI go to:", running.url, flush=True)
    running.wait()
"""
COMMAND = (sys.executable, "-u", str(ROOT / "handler.py"))


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    container = Container(tmp_path)
    (container.comfyui / "main.py").write_text(MAIN)
    container.fill_volume()
    yield container
    container.end()


@pytest.fixture
def endpoint() -> Iterator[platform.Endpoint]:
    with platform.start(poll_hold=0.5, ping_interval=1) as running:
        yield running


def start_worker(container: Container, endpoint: platform.Endpoint, **environ: str) -> None:
    container.start(*COMMAND, **{**endpoint.worker_environ(), **UNCHECKED, **environ})


def submit(endpoint: platform.Endpoint, job_input: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """Queues the job; returns what asks for its status."""
    job_id = requests.post(f"{endpoint.url}/run", json={"input": job_input}, timeout=10).json()["id"]
    return lambda: dict(requests.get(f"{endpoint.url}/status/{job_id}", timeout=10).json())


def test_models_that_cannot_come_are_what_the_platform_hears_of_an_unfit_worker(container, endpoint):
    (container.volume / "models" / VAE.path).unlink()
    start_worker(container, endpoint, HUNYUAN_VAE_URL=f"{endpoint.url}/nothing")
    assert container.wait() == 1
    unhealthy = requests.get(f"{endpoint.url}/health", timeout=10).json()["local"]["unhealthy"]
    assert "models_in_place" in str(unhealthy)
    assert f"{VAE.name}: {endpoint.url}/nothing answers 404" in str(unhealthy)


def test_a_job_that_comfyui_dies_under_is_told_its_last_lines_and_the_next_one_runs(container, endpoint, small):
    start_worker(container, endpoint, WARMUP="1")
    status = submit(endpoint, small(steps=100, prompt="a prompt of its caller"))
    wait_for(lambda: "percent" in (status().get("output") or {}), 40)
    assert "warm-up: a clip of one frame took" in container.text.partition("HANDLER CALLED")[0]
    wait_for(container.says(r"comfyui pid \d+\s"))
    pid = container.text.partition("comfyui pid ")[2].split()[0]
    os.kill(int(pid), signal.SIGKILL)
    wait_for(lambda: status()["status"] in FINAL)
    report = status()
    assert report["error"].startswith("comfyui_unavailable")
    assert any("ComfyUI ended with status 137" in line for line in report["output"]["comfyui_log"])
    assert "ComfyUI's last lines:" in container.text
    assert "a prompt of its caller" not in container.text
    after = submit(endpoint, small())
    wait_for(lambda: after()["status"] in FINAL)
    assert after()["status"] == "COMPLETED"


@pytest.mark.parametrize("with_queue", [True, False])
def test_builder_and_handler_may_be_two_commands_of_a_shell(container, endpoint, free_port, with_queue):
    own = " ".join(f"{name}={container.environ.pop(name)}" for name in ("MODELS_STATE", "COMFYUI_LOG", "COMFYUI_STATE"))
    queue = {**endpoint.worker_environ(), **UNCHECKED} if with_queue else {"LOCAL_PORT": str(free_port)}
    container.start_by(("bash", "-c", f'{own} {BUILDER} && "$@"', "start"), *COMMAND, **queue)
    wait_for(container.says("All fitness checks passed|Jobs in queue"), 40)
    assert "models in place after" in container.text
    assert f"answers at {container.url}" in container.text
    assert "PREVIEW" not in container.text


def test_a_comfyui_that_does_not_stay_up_is_what_the_platform_hears_with_its_last_line(container, endpoint):
    (container.comfyui / "main.py").write_text(
        "raise SystemExit('RuntimeError: Found no NVIDIA driver on your system')"
    )
    start_worker(container, endpoint)
    assert container.wait() == 1
    unhealthy = requests.get(f"{endpoint.url}/health", timeout=10).json()["local"]["unhealthy"]
    assert "comfyui_answers" in str(unhealthy)
    assert "ended with status 1; its last line: RuntimeError: Found no NVIDIA driver on your system" in str(unhealthy)


def test_without_a_platform_too_it_waits_for_the_comfyui_that_was_started(container, free_port):
    container.start(*COMMAND, LOCAL_PORT=str(free_port))
    wait_for(container.says("Jobs in queue|All fitness checks passed"), 40)
    assert f"answers at {container.url}" in container.text
    assert "PREVIEW" not in container.text
