"""The ComfyUI that bench/real_comfyui.py starts: small programs in its place."""

import os
import sys
import time
from pathlib import Path

import pytest

from bench import real_comfyui
from bench.real_comfyui import Installation, MemoryLog

SERVES = """
import http.server, sys
port = int(sys.argv[sys.argv.index("--port") + 1])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""
# Answers both questions as nvidia-smi does: what the GPU is, once, and its memory, for ever.
NVIDIA_SMI = """#!/bin/sh
case "$*" in
*memory.used*--loop-ms=100*) while echo 2000; do sleep 0.01; done ;;
*name,memory.total,driver_version*) echo "NVIDIA H100, 81559 MiB, 550.54" ;;
*) exit 1 ;;
esac
"""
ENDS = "import sys; print('no CUDA here', *sys.argv[-2:]); sys.exit(1)"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "weights").mkdir()
    real_comfyui.make_base(tmp_path / "base", tmp_path / "weights", tiny=True)
    return tmp_path / "base"


def installation(folder: Path, program: str) -> Installation:
    (folder / "main.py").write_text(program)
    return Installation(folder, Path(sys.executable), ("--cpu",))


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_comfyui_that_answers_is_ended_with_the_context(base: Path, tmp_path: Path) -> None:
    with real_comfyui.run(installation(tmp_path, SERVES), base) as running:
        assert is_alive(running.pid)
    assert not is_alive(running.pid)


def test_one_that_does_not_start_is_told_with_its_last_words(base: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="does not start; its last lines:\nno CUDA here --cpu --fast"):
        with real_comfyui.run(installation(tmp_path, ENDS), base, ["--fast"]):
            pytest.fail("it answered")


def test_its_folders_have_the_nodes_and_the_weights(base: Path, tmp_path: Path) -> None:
    assert (base / "models").resolve() == tmp_path / "weights"
    assert all((base / "custom_nodes" / name / "__init__.py").is_file() for name in ("comfyui_nodes", "tiny_hunyuan"))


def test_the_memory_of_a_process_is_noted_while_it_runs(base: Path, tmp_path: Path) -> None:
    with real_comfyui.run(installation(tmp_path, SERVES), base) as running:
        with MemoryLog(running.pid, has_gpu=False) as log:
            while not log.samples:
                time.sleep(0.01)
    assert 1 < log.samples[0][1] < 1000


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(NVIDIA_SMI)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


@pytest.mark.usefixtures("nvidia_smi")
def test_a_gpus_memory_is_noted_in_megabytes() -> None:
    assert real_comfyui.describe_gpu() == {"gpu": "NVIDIA H100", "gpu_memory": "81559 MiB", "driver": "550.54"}
    with MemoryLog(0, has_gpu=True) as log:
        while len(log.samples) < 2:
            time.sleep(0.01)
    assert [megabytes for _, megabytes in log.samples[:2]] == pytest.approx([2097.152] * 2)


def test_without_nvidia_smi_there_is_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert real_comfyui.describe_gpu() == {}
