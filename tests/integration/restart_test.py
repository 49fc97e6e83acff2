"""A ComfyUI that hangs is killed, whatever hangs in it, and the next job runs on the same worker."""

import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run
from tests.engine_process import Supervised, supervised
from tests.helpers import gradient, left_behind, small_job, told
from tests.odd_comfyui import OddComfyUI, odd_comfyui
from worker.comfyui import process
from worker.errors import ComfyUIUnavailable, ImageRejected, JobCancelled, JobTimeout

ROOT = Path(__file__).parents[2]


def hang_at(node: str) -> str:
    return f'{{"step_seconds": 0.01, "hang_at": "{node}", "hang_deaf": true}}'


def check_the_next_job(run: Run, engine: Supervised) -> None:
    assert len(told(run(engine, small_job(), comfyui_pid=engine.pid_file), "type")) == 6
    assert engine.starts == 2
    assert [path for path in left_behind(engine.home) if path.is_file()] == []


def test_a_node_that_is_deaf_to_interrupts_costs_one_job(run: Run, tmp_path: Path) -> None:
    with supervised(tmp_path, hang_at("VAEDecode")) as engine:
        with pytest.raises(JobTimeout) as caught:
            run(engine, small_job(), stall_timeout=1.0, stop_timeout=0.5, comfyui_pid=engine.pid_file)
        assert "refresh_worker" not in caught.value.answer()
        check_the_next_job(run, engine)


def test_so_does_one_whose_job_is_cancelled(run: Run, tmp_path: Path) -> None:
    cancelled = threading.Event()

    def cancel(progress: dict[str, Any]) -> None:
        if progress["node"] == "Decode frames":
            cancelled.set()

    with supervised(tmp_path, hang_at("VAEDecode")) as engine:
        with pytest.raises(JobCancelled):
            run(engine, small_job(), cancel, cancelled, stop_timeout=0.5, comfyui_pid=engine.pid_file)
        check_the_next_job(run, engine)


def test_so_does_a_process_that_answers_nothing(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("worker.comfyui.follow"), "PATIENCE", 1.0)
    with supervised(tmp_path, '{"step_seconds": 0.2}') as engine:
        start = time.monotonic()

        def stop(_: object) -> None:
            os.kill(int(engine.pid_file.read_text()), signal.SIGSTOP)

        with pytest.raises(ComfyUIUnavailable, match="hung") as caught:
            run(engine, small_job(steps=50), stop, comfyui_pid=engine.pid_file)
        assert time.monotonic() - start < 30
        assert "refresh_worker" not in caught.value.answer()
        check_the_next_job(run, engine)


class TestBeforeThePrompt:
    @pytest.fixture(autouse=True)
    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importlib.import_module("worker.comfyui.follow"), "PATIENCE", 1.0)
        monkeypatch.setattr(importlib.import_module("worker.comfyui.client"), "LOOK_TIMEOUT", 0.5)

    def test_a_process_that_has_hung_between_jobs_costs_none(self, run: Run, tmp_path: Path) -> None:
        with supervised(tmp_path, '{"step_seconds": 0.01}') as engine:
            run(engine, small_job(), comfyui_pid=engine.pid_file)
            os.kill(int(engine.pid_file.read_text()), signal.SIGSTOP)
            check_the_next_job(run, engine)

    def test_nor_does_one_that_answers_errors_only(self, run: Run, tmp_path: Path) -> None:
        """As where its GPU has failed."""
        with supervised(tmp_path, '{"status_500": {"/system_stats": 1000000}}') as engine:
            check_the_next_job(run, engine)

    def test_a_deadline_is_kept_though_it_answers_nothing(self, run: Run, tmp_path: Path) -> None:
        with supervised(tmp_path, '{"step_seconds": 0.01}') as engine:
            run(engine, small_job())
            os.kill(int(engine.pid_file.read_text()), signal.SIGSTOP)
            began = time.monotonic()
            with pytest.raises(JobTimeout, match="JOB_TIMEOUT"):
                run(engine, small_job(), job_timeout=1.0)
            assert time.monotonic() - began < 5

    def test_a_wrong_image_is_refused_before_it_answers(self, run: Run, tmp_path: Path, free_port: int) -> None:
        absent = Supervised(tmp_path, f"http://127.0.0.1:{free_port}", tmp_path / "pid")
        began = time.monotonic()
        with pytest.raises(ImageRejected):
            run(absent, small_job(image="bm9uZQ=="), boot_timeout=60)
        assert time.monotonic() - began < 20


def test_a_queue_that_nothing_is_taken_from_is_noticed_within_seconds(run: Run, tmp_path: Path) -> None:
    """Its prompt thread is dead; it answers HTTP all the same."""

    class Idle(OddComfyUI):
        def answer(self, path: str, query: Any, body: bytes) -> Any:
            pending = [[1, prompt_id, {}, {}, []] for prompt_id in self.prompts]
            self.answers = {"/history": {}, "/queue": {"queue_running": [], "queue_pending": pending}}
            return super().answer(path, query, body)

    graph = {"1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}}}
    with odd_comfyui(Idle()) as comfyui:
        start = time.monotonic()
        with pytest.raises(ComfyUIUnavailable, match="no longer takes prompts") as caught:
            run(comfyui, {"workflow": graph, "image": gradient()})
        assert time.monotonic() - start < 20
    assert caught.value.answer()["refresh_worker"] is True  # nobody says which process it is


class TestKill:
    @pytest.mark.parametrize("content", ["", "x", "-1", "0", "1", "999999999999", "4194305", "\ud800"])
    def test_what_is_no_process_id_of_comfyuis_is_left_alone(self, tmp_path: Path, content: str) -> None:
        file = tmp_path / "pid"
        file.write_bytes(content.encode("utf-8", "surrogatepass"))
        assert not process.kill(file)
        assert not process.kill(tmp_path / "missing")
        assert not process.kill(None)

    def test_another_program_under_that_id_is_left_alone(self, tmp_path: Path) -> None:
        with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "not_main.py"]) as other:
            (tmp_path / "pid").write_text(str(other.pid))
            assert not process.kill(tmp_path / "pid")
            assert other.poll() is None
            other.kill()


class TestPromptThread:
    SCRIPT = (
        "import sys, threading, time, comfyui_nodes\n"
        "def prompt_worker(): raise {error}\n"
        "def other(): raise {error}\n"
        "threading.Thread(target={thread}, daemon=True).start(); time.sleep(2)"
    )

    @pytest.mark.parametrize("error", ["RuntimeError", "SystemExit"])  # nodes call sys.exit, too
    @pytest.mark.parametrize(("thread", "status"), [("prompt_worker", 70), ("other", 0)])
    def test_with_the_nodes_its_death_ends_comfyui_and_no_other_threads_does(
        self, thread: str, error: str, status: int
    ) -> None:
        script = self.SCRIPT.format(thread=thread, error=error)
        assert subprocess.run([sys.executable, "-c", script], check=False, cwd=ROOT).returncode == status
