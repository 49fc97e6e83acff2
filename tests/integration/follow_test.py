"""Following a prompt while ComfyUI or its socket misbehaves, each fault a scenario."""

import threading
import time
from typing import Any

import pytest

from local.engine import Scenario, start
from tests.engine_process import engine_process
from worker.comfyui import ComfyUI
from worker.errors import ComfyUIUnavailable, ExecutionFailed, JobCancelled, JobTimeout

QUICK: dict[str, Any] = {"step_seconds": 0.01}


def queue_is_empty(engine) -> bool:
    queue = ComfyUI(engine.url)._request("GET", "/queue").json()
    return not queue["queue_running"] and not queue["queue_pending"]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"drop_socket_after": 5}, id="the-socket-drops"),
        pytest.param({"drop_socket_after": 3, "dropped_sockets": 100}, id="the-socket-drops-again-and-again"),
        pytest.param({"silent_socket": True}, id="the-socket-is-silent"),
        pytest.param({"refuse_ws": True}, id="the-socket-never-opens"),
        pytest.param({"duplicate_messages": True}, id="messages-come-twice"),
        pytest.param({"lie": "early"}, id="the-socket-announces-success-early"),
        pytest.param({"history_delay": 0.5}, id="history-is-late"),
        pytest.param({"status_500": {"/history": 3}}, id="history-answers-500"),
        pytest.param({"slow": 0.1}, id="every-answer-is-slow"),
    ],
)
def test_a_job_comes_back_whole_although(run, small, fault):
    with start(scenario=Scenario(**QUICK, **fault)) as engine:
        assert len(run(engine, small())["outputs"]) == 6


def test_a_failure_announced_as_success_is_a_failure(run, small):
    fault = Scenario(**QUICK, lie="failure", fail_at="VAEDecode", fail_type="RuntimeError", fail_message="no")
    with start(scenario=fault) as engine, pytest.raises(ExecutionFailed):
        run(engine, small())


def test_the_same_request_twice_is_answered_twice(run, small):
    with start(scenario=Scenario(**QUICK)) as engine:
        first, second = run(engine, small()), run(engine, small())
    assert first["prompt_id"] != second["prompt_id"]
    # The frames only: FFmpeg's colour conversion is not the same to the bit on every memory alignment.
    frames = [[output["data"] for output in answer["outputs"][1:]] for answer in (first, second)]
    assert frames[0] == frames[1]
    assert len(frames[0]) == 5


def test_a_prompt_that_comfyui_forgot_is_noticed(run, small):
    with start(scenario=Scenario(**QUICK, forget_at="VAEDecode")) as engine:
        started = time.monotonic()
        with pytest.raises(ComfyUIUnavailable, match="send it again"):
            run(engine, small())
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("lost", [0, 3])
def test_a_cancel_ends_the_prompt_on_comfyui_although_interrupts_are_lost(run, small, lost):
    cancelled = threading.Event()
    with start(scenario=Scenario(step_seconds=0.2, lost_interrupts=lost, faulty_prompts=1)) as engine:
        with pytest.raises(JobCancelled):
            run(engine, small(steps=100), report=lambda _: cancelled.set(), cancelled=cancelled)
        assert queue_is_empty(engine)
        assert run(engine, small())["status"] == "success"


def test_a_cancel_before_the_prompt_is_queued_ends_the_job(run, small):
    cancelled = threading.Event()
    cancelled.set()
    with start(scenario=Scenario(step_seconds=0.2)) as engine:
        with pytest.raises(JobCancelled):
            run(engine, small(steps=100), cancelled=cancelled)
        assert queue_is_empty(engine)


def test_the_deadline_ends_the_prompt_and_leaves_the_worker_fit(run, small):
    with start(scenario=Scenario(step_seconds=0.2)) as engine:
        with pytest.raises(JobTimeout, match="JOB_TIMEOUT") as caught:
            run(engine, small(steps=100), job_timeout=1.0)
        assert queue_is_empty(engine)
        assert "refresh_worker" not in caught.value.details
        assert run(engine, small(steps=1))["status"] == "success"


def test_a_node_that_hangs_is_a_stall(run, small):
    with start(scenario=Scenario(**QUICK, hang_at="VAEDecode")) as engine:
        with pytest.raises(JobTimeout, match="STALL_TIMEOUT"):
            run(engine, small(), stall_timeout=1.0)
        assert queue_is_empty(engine)


def test_a_node_deaf_to_interrupts_asks_for_a_new_worker(run, small):
    with start(scenario=Scenario(**QUICK, hang_at="VAEDecode", hang_deaf=True)) as engine:
        with pytest.raises(JobTimeout) as caught:
            run(engine, small(), stall_timeout=1.0, stop_timeout=1.0)
    assert caught.value.answer()["refresh_worker"] is True


def test_two_jobs_at_once_do_not_mix(run, small):
    answers = {}
    with start(scenario=Scenario(**QUICK)) as engine:
        jobs = [
            threading.Thread(target=lambda n=n: answers.update({n: run(engine, small(num_frames=n))})) for n in (3, 6)
        ]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join()
    assert {n: len(answer["outputs"]) - 1 for n, answer in answers.items()} == {3: 3, 6: 6}


def test_comfyuis_death_is_noticed_at_once(run, small, tmp_path):
    died = []
    with engine_process(tmp_path, '{"step_seconds": 0.2}') as engine:

        def kill(_):
            if not died:
                died.append(time.monotonic())
                engine.popen.kill()

        with pytest.raises(ComfyUIUnavailable, match="died"):
            run(engine, small(steps=100), report=kill)
    assert time.monotonic() - died[0] < 4  # promised: 2 s; the rest is this machine's load


def test_comfyui_that_exits_in_a_node_is_noticed(run, small, tmp_path):
    with engine_process(tmp_path, '{"step_seconds": 0.01, "die_at": "VAEDecode"}') as engine:
        with pytest.raises(ComfyUIUnavailable):
            run(engine, small())
