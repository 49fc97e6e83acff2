"""Faults of ComfyUI, of its disk and of the moment, and the job after them. docs/FAULTS.md is the table."""

import base64
import signal
import socket
import threading
import time
from contextlib import contextmanager

import pytest

from local.engine import Scenario, start
from tests.disks import mounted
from tests.engine_process import engine_process
from tests.helpers import left_behind, wait_until
from worker.comfyui import ComfyUI
from worker.errors import (
    ComfyUIUnavailable,
    ExecutionFailed,
    ImageRejected,
    JobCancelled,
    JobTimeout,
    OutOfMemory,
    WorkflowRejected,
)
from worker.input import limits
from worker.input.request import Form

QUICK = Scenario(step_seconds=0.01)
SLOW = '{"step_seconds": 0.2}'


def queue_of(engine) -> dict:
    return ComfyUI(engine.url)._request("GET", "/queue").json()


def is_idle(engine) -> bool:
    return queue_of(engine) == {"queue_running": [], "queue_pending": []}


class TestComfyUIHangs:
    def test_one_that_wakes_up_again_costs_time_only(self, run, small, tmp_path):
        with engine_process(tmp_path) as engine:

            def stop_for_a_moment(_):
                engine.popen.send_signal(signal.SIGSTOP)
                threading.Timer(1.0, engine.popen.send_signal, [signal.SIGCONT]).start()

            assert len(run(engine, small(), report=stop_for_a_moment)["outputs"]) == 6

    def test_one_that_stays_so_is_a_timeout_that_asks_for_a_new_worker(self, run, small, tmp_path):
        with engine_process(tmp_path, SLOW) as engine:

            def hang(_):
                engine.popen.send_signal(signal.SIGSTOP)

            with pytest.raises(JobTimeout) as caught:
                run(engine, small(steps=50), report=hang, stall_timeout=1.0, stop_timeout=0.5)
        assert caught.value.answer()["refresh_worker"] is True


class TestComfyUIRestarts:
    def test_the_next_job_waits_until_it_is_up_again(self, run, small, tmp_path, free_port):
        with engine_process(tmp_path, port=free_port) as first:
            assert run(first, small())["status"] == "success"
        answers = []
        job = threading.Thread(target=lambda: answers.append(run(first, small())))
        job.start()
        time.sleep(0.5)
        assert job.is_alive()
        with engine_process(tmp_path, port=free_port):
            job.join()
        assert len(answers[0]["outputs"]) == 6

    def test_one_that_does_not_come_back_asks_for_a_new_worker(self, run, small, tmp_path):
        with engine_process(tmp_path) as engine:
            engine.popen.kill()
            engine.popen.wait()
            with pytest.raises(ComfyUIUnavailable, match="does not answer") as caught:
                run(engine, small(), boot_timeout=0.5)
        assert caught.value.answer()["refresh_worker"] is True

    def test_a_job_that_waits_for_it_can_be_cancelled(self, run, small, tmp_path):
        cancelled = threading.Event()
        threading.Timer(0.3, cancelled.set).start()
        with engine_process(tmp_path) as engine:
            engine.popen.kill()
            engine.popen.wait()
            with pytest.raises(JobCancelled):
                run(engine, small(), cancelled=cancelled)


class TestOutOfMemory:
    def test_comfyuis_memory_is_freed_and_the_next_job_runs_on_the_same_worker(self, run, small):
        seen = []
        with start(scenario=Scenario(step_seconds=0.01, fail_at="SaveVideo", faulty_prompts=1)) as engine:
            with pytest.raises(OutOfMemory) as caught:
                run(engine, small())
            assert run(engine, small(), report=seen.append)["status"] == "success"
        assert "refresh_worker" not in caught.value.answer()
        assert "Load model" in {progress["node"] for progress in seen}  # nothing was left in its cache

    def test_the_caller_is_told_a_smaller_request_that_is_valid(self, run, small):
        with start(scenario=Scenario(step_seconds=0.01, fail_at="VAEDecode")) as engine:
            with pytest.raises(
                OutOfMemory, match=r"num_frames 13 at 1024x768 or 25 frames at width 720 and height 544"
            ):
                run(engine, small(width=1024, height=768, num_frames=25))

    @pytest.mark.parametrize(("size", "frames"), [((1280, 720), 129), ((720, 1280), 25), ((64, 64), 5), ((64, 64), 1)])
    def test_what_is_suggested_is_smaller(self, size, frames):
        words = limits.suggest(Form(size, size, frames, frames)).split()
        if "num_frames" in words:
            assert int(words[words.index("num_frames") + 1]) <= frames * limits.SHRINK
        if "height" in words:
            width, height = int(words[words.index("width") + 1]), int(words[words.index("height") + 1])
            assert width * height <= limits.SHRINK * size[0] * size[1]
            assert (width > height) == (size[0] > size[1])


@pytest.mark.parametrize("path", ["/system_stats", "/view", "/history", "/queue"])
def test_a_route_that_answers_500_for_a_moment_costs_no_job(run, small, path):
    with start(scenario=Scenario(step_seconds=0.01, status_500={path: 2})) as engine:
        # Without a folder, from which it would read them, the worker asks ComfyUI for the files too.
        assert len(run(engine, small(), comfyui_dir=None)["outputs"]) == 6


def test_finished_files_are_read_from_the_disk_where_comfyui_no_longer_gives_them(run, small):
    with start(scenario=Scenario(step_seconds=0.01, status_500={"/view": 1000})) as engine:
        assert len(run(engine, small())["outputs"]) == 6
        assert left_behind(engine.home) == []


@pytest.mark.parametrize("path", ["/upload/image", "/prompt"])
def test_a_route_that_answers_500_before_the_prompt_runs_is_an_error_of_comfyuis_and_the_next_job_runs(
    run, small, path
):
    with start(scenario=Scenario(step_seconds=0.01, status_500={path: 1})) as engine:
        with pytest.raises(ComfyUIUnavailable, match=f"HTTP 500 to POST {path}"):
            run(engine, small())
        assert len(run(engine, small())["outputs"]) == 6
        assert left_behind(engine.home) == []


class TestDisk:
    def test_a_full_input_folder_is_an_error_and_once_there_is_room_the_next_job_runs(self, run, small, tmp_path):
        with mounted(tmp_path / "input", "size=64k"), engine_process(tmp_path) as engine:
            ballast = tmp_path / "input" / "ballast"
            ballast.write_bytes(bytes(64 * 1024))
            with pytest.raises(ComfyUIUnavailable, match="HTTP 500"):
                run(engine, small())
            ballast.unlink()
            assert len(run(engine, small())["outputs"]) == 6

    def test_a_full_output_folder_is_a_failed_node_and_leaves_no_half_file(self, run, small, tmp_path):
        with mounted(tmp_path / "output", "size=64k"), engine_process(tmp_path) as engine:
            for _ in range(2):  # what the first one left would be in the second one's way
                with pytest.raises(ExecutionFailed, match="No space left"):
                    run(engine, small(width=256, height=256, num_frames=17))
                assert left_behind(tmp_path) == []
            assert len(run(engine, small())["outputs"]) == 6

    def test_a_read_only_output_folder_is_a_failed_node(self, run, small, tmp_path):
        with mounted(tmp_path / "output", "ro"), engine_process(tmp_path) as engine:
            with pytest.raises(ExecutionFailed, match="Read-only"):
                run(engine, small())
            assert left_behind(tmp_path) == []


def test_a_prompt_that_saved_previews_only_is_answered_with_them_every_time(run, small):
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "start.png"}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
        "3": {
            "class_type": "ImageScale",
            "inputs": {"image": ["1", 0], "upscale_method": "area", "width": 32, "height": 32, "crop": "disabled"},
        },
    }
    with start(scenario=QUICK) as engine:
        for _ in range(2):  # ComfyUI's cache has the second one's
            answer = run(engine, {"workflow": graph, "image": small()["image"]})
            assert [entry["type"] for entry in answer["outputs"]] == ["image"]
        assert not any(path.is_file() for path in left_behind(engine.home))


def test_the_previews_of_a_graph_that_fails_later_are_removed_too(run, small):
    shown = []
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "start.png"}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "mine"}},
    }
    with start(scenario=Scenario(fail_at="SaveImage", fail_type="RuntimeError")) as engine:
        with pytest.raises(ExecutionFailed):
            run(engine, {"workflow": graph, "image": small()["image"]}, report=shown.append)
        assert "PreviewImage" in {progress["node"] for progress in shown}
        assert [path for path in left_behind(engine.home) if path.is_file()] == []


def test_the_previews_of_a_graph_that_is_refused_in_part_are_removed_too(run, small):
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "start.png"}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["1", 1], "filename_prefix": "mine"}},
    }
    # The answer that refuses the broken part is held back until the sound part has run.
    with start(scenario=Scenario(slow=0.2)) as engine:
        with pytest.raises(WorkflowRejected):
            run(engine, {"workflow": graph, "image": small()["image"]})
        assert ComfyUI(engine.url)._request("GET", "/history").json()
        assert [path for path in left_behind(engine.home) if path.is_file()] == []


class TestCancel:
    """At each phase: the job ends soon, ComfyUI is idle and its folders are empty afterwards."""

    def test_while_the_picture_is_fetched(self, run, small, monkeypatch):
        monkeypatch.setenv("RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS", "true")
        with start(scenario=QUICK) as engine, socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}/picture.png"
            wanted = {**small(), "image": url}
            held = []  # a connection that is dropped is closed, and the fetch ends before the cancel
            self.cancel_when(engine, run, wanted, lambda: held.append(silent.accept()) or held)
            held[0][0].close()

    def test_while_the_picture_is_uploaded(self, run, small):
        with start(scenario=Scenario(step_seconds=0.2, slow=0.3)) as engine:
            self.cancel_when(engine, run, small(steps=50), lambda: list((engine.home / "input").iterdir()))

    def test_while_the_prompt_waits_behind_another(self, run, small):
        with start(scenario=Scenario(step_seconds=0.05)) as engine:
            answers = []
            first = threading.Thread(target=lambda: answers.append(run(engine, small(steps=60))))
            first.start()
            wait_until(lambda: queue_of(engine)["queue_running"])
            cancelled = threading.Event()
            threading.Thread(
                target=lambda: (wait_until(lambda: queue_of(engine)["queue_pending"]), cancelled.set())
            ).start()
            with pytest.raises(JobCancelled):
                run(engine, small(), cancelled=cancelled)
            assert queue_of(engine)["queue_running"]
            first.join()
        assert len(answers[0]["outputs"]) == 6

    @pytest.mark.parametrize(
        ("node", "title"),
        [("SamplerCustomAdvanced", "Sample"), ("VAEDecode", "Decode frames"), ("SaveVideo", "Save video")],
    )
    def test_while_a_node_runs(self, run, small, node, title):
        cancelled = threading.Event()
        with start(scenario=Scenario(step_seconds=0.01, hang_at=node, faulty_prompts=1)) as engine:
            with pytest.raises(JobCancelled):
                run(
                    engine,
                    small(),
                    report=lambda progress: progress["node"] == title and cancelled.set(),
                    cancelled=cancelled,
                )
            assert is_idle(engine)
            assert len(run(engine, small())["outputs"]) == 6

    def test_while_the_files_are_fetched(self, run, small):
        with start(scenario=Scenario(step_seconds=0.01, slow=0.2)) as engine:
            self.cancel_when(
                engine,
                run,
                small(num_frames=25),
                lambda: len(list((engine.home / "output").rglob("*.*"))) > 25,
                comfyui_dir=None,  # over HTTP, which takes the time that this needs; and nothing can be removed
            )

    def cancel_when(self, engine, run, wanted, condition, **settings):
        cancelled = threading.Event()
        watcher = threading.Thread(target=lambda: (wait_until(condition), cancelled.set()))
        watcher.start()
        with pytest.raises(JobCancelled):
            run(engine, wanted, cancelled=cancelled, **settings)
        watcher.join()
        assert is_idle(engine)
        assert settings or left_behind(engine.home) == []


class TestQueuedBehindAnother:
    def test_waiting_is_no_stall(self, run, small):
        with start(scenario=Scenario(step_seconds=0.1)) as engine:
            with self.busy(engine, run, small(steps=40)):
                assert run(engine, small(steps=1), stall_timeout=2.0)["status"] == "success"

    def test_a_deadline_that_passes_meanwhile_says_that_it_waited(self, run, small):
        with start(scenario=Scenario(step_seconds=0.1)) as engine, self.busy(engine, run, small(steps=40)):
            with pytest.raises(JobTimeout, match="WORKER_CONCURRENCY"):
                run(engine, small(), job_timeout=2.0)
            assert queue_of(engine)["queue_running"]

    def test_a_long_decode_of_its_own_is_still_a_stall(self, run, small):
        with start(scenario=Scenario(step_seconds=0.01, hang_at="VAEDecode")) as engine:
            with pytest.raises(JobTimeout, match="STALL_TIMEOUT"):
                run(engine, small(), stall_timeout=1.0)

    @contextmanager
    def busy(self, engine, run, wanted):
        answers = []
        other = threading.Thread(target=lambda: answers.append(run(engine, wanted)))
        other.start()
        wait_until(lambda: queue_of(engine)["queue_running"])
        yield
        other.join()
        assert len(answers[0]["outputs"]) == 6


def test_a_picture_that_lies_about_its_type_is_read_for_what_it_is(run, small, picture):
    with start(scenario=QUICK) as engine:
        lying = f"data:image/jpeg;base64,{picture(kind='WEBP')}"
        assert len(run(engine, small(image=lying))["outputs"]) == 6
        with pytest.raises(ImageRejected, match="image"):
            run(engine, small(image="data:image/png;base64," + base64.b64encode(b"<html>").decode()))
