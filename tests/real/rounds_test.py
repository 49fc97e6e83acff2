"""The same again and again on a real ComfyUI: `pytest tests/real/rounds_test.py --comfyui URL --rounds 50`."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from worker.comfyui import ComfyUI
from worker.errors import JobCancelled

pytestmark = pytest.mark.timeout(3600)
LONGEST = 4.0  # seconds until a cancel: from the upload to the decoding of a tiny clip


def quick(small, **fields):
    return small(width=96, height=64, output="frames", frame_format="png", **fields)


def test_a_cancel_at_a_random_moment_ends_the_job_or_comes_too_late(comfyui, run, small, rounds):
    """`folders_are_left_as_found` checks what all rounds together leave."""
    ends = {"cancelled": 0, "success": 0}
    for number in range(rounds):
        cancelled = threading.Event()
        threading.Timer(random.random() * LONGEST if number else 0, cancelled.set).start()
        wanted = small(width=128, height=96, num_frames=9, steps=random.randint(1, 12), seed=random.randrange(2**32))
        started = time.monotonic()
        try:
            ends[run(comfyui, wanted, cancelled=cancelled)["status"]] += 1
        except JobCancelled:
            ends["cancelled"] += 1
        assert time.monotonic() - started < 60
        client = ComfyUI(comfyui.url)
        assert client._request("GET", "/queue").json() == {"queue_running": [], "queue_pending": []}
        client.close()
    assert sum(ends.values()) == rounds
    assert ends["cancelled"]
    assert len(run(comfyui, quick(small))["outputs"]) == 5


def test_the_identical_request_gives_the_same_pixels_every_time(comfyui, run, small, rounds):
    wanted = quick(small, seed=random.randrange(2**32))
    first = run(comfyui, wanted)["outputs"]
    assert all(run(comfyui, wanted)["outputs"] == first for _ in range(max(1, rounds // 5)))


def test_two_jobs_at_once_get_what_each_gets_alone(comfyui, run, small, rounds):
    wanted = [quick(small, seed=seed, num_frames=frames) for seed, frames in ((1, 2), (2, 5))]
    alone = [run(comfyui, job)["outputs"] for job in wanted]
    for _ in range(max(1, rounds // 5)):
        with ThreadPoolExecutor() as pool:
            assert list(pool.map(lambda job: run(comfyui, job)["outputs"], wanted)) == alone
