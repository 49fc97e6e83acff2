"""Jobs on a real ComfyUI: `pytest tests/real --comfyui http://127.0.0.1:8188 [--comfyui-dir=DIR]`; skipped without one.

It must have the model files of workflow_api.json under their names; tiny ones will do.
"""

import base64
import io
import random
import threading
import time
import uuid

import av
import pytest
from PIL import Image

from tests.helpers import content, contents, count_frames
from worker.comfyui import ComfyUI
from worker.errors import ExecutionFailed, JobCancelled, WorkflowRejected

pytestmark = pytest.mark.timeout(600)


def decode(output):
    return base64.b64decode(output["data"])


def test_the_default_graph_gives_exactly_the_frames_asked_for(comfyui, run, small):
    answer = run(comfyui, small(num_frames=6))
    assert count_frames(content(answer)) == 6
    with av.open(io.BytesIO(content(answer))) as container:
        assert container.streams.video[0].average_rate == 24
        assert "prompt" not in container.metadata
    assert [Image.open(io.BytesIO(frame)).size for frame in contents(answer)] == [(96, 64)] * 6
    assert answer["warnings"] == []


@pytest.mark.parametrize(("output", "kinds"), [("video", {"video"}), ("frames", {"image"})])
def test_what_is_not_wanted_is_left_out(comfyui, run, small, output, kinds):
    assert {entry["type"] for entry in run(comfyui, small(width=64, height=64, output=output))["outputs"]} == kinds


def test_the_identical_request_twice_is_answered_twice_with_the_same_pixels(comfyui, run, small):
    wanted = small(width=64, height=64, output="frames", frame_format="png")
    assert run(comfyui, wanted)["outputs"] == run(comfyui, wanted)["outputs"]


def test_progress_counts_the_sampling_steps(comfyui, run, small):
    seen = []
    run(comfyui, small(width=64, height=64, steps=3, seed=random.randrange(2**32)), report=seen.append)
    steps = [progress["step"] for progress in seen if progress.get("steps") == 3]
    assert (steps[0], steps[-1], steps) == (1, 3, sorted(steps))  # between them ComfyUI leaves quick ones out


@pytest.mark.parametrize(
    ("graph", "mime_type"),
    [
        (
            {
                "1": {"class_type": "EmptyAudio", "inputs": {"duration": 0.5, "sample_rate": 44100, "channels": 1}},
                "2": {"class_type": "PreviewAudio", "inputs": {"audio": ["1", 0]}},
            },
            "audio/",
        ),
        (
            {
                "1": {"class_type": "EmptyImage", "inputs": {"width": 32, "height": 32, "batch_size": 1, "color": 0}},
                "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
                "3": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
            },
            "image/",
        ),
    ],
    ids=["sound", "image"],
)
def test_what_lies_in_temp_alone_is_answered_twice(comfyui, run, graph, mime_type):
    for _ in range(2):
        assert run(comfyui, {"workflow": graph})["outputs"][0]["mime_type"].startswith(mime_type)


def model_free(**inputs):
    scale = {"image": ["1", 0], "upscale_method": "bilinear", "width": 32, "height": 32, "crop": "disabled", **inputs}
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": "mine.png"}},
        "2": {"class_type": "ImageScale", "inputs": scale, "_meta": {"title": "Make it small"}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "mine"}},
    }


def test_a_callers_graph_without_models_runs(comfyui, run, picture):
    answer = run(comfyui, {"workflow": model_free(), "images": [{"name": "mine.png", "image": picture()}]})
    assert Image.open(io.BytesIO(decode(answer["images"][0]))).size == (32, 32)


def test_a_refused_graph_names_node_input_value_and_choice(comfyui, run, picture):
    with pytest.raises(WorkflowRejected) as caught:
        run(comfyui, {"workflow": model_free(upscale_method="magic"), "image": picture()})
    assert all(word in caught.value.message for word in ("Make it small", "upscale_method", "magic", "bilinear"))


def test_every_class_that_is_not_there_is_named_with_what_is_installed(comfyui, run, picture):
    graph = model_free()
    graph["2"]["class_type"], graph["3"]["class_type"] = "ImageScaled", "VHS_VideoCombine"
    with pytest.raises(WorkflowRejected, match='node 3 "VHS_VideoCombine"') as caught:
        run(comfyui, {"workflow": graph, "image": picture()})
    assert '"Make it small" (ImageScaled) (did you mean ImageScale?)' in caught.value.message
    assert "docs/WORKFLOWS.md#custom-nodes" in caught.value.message
    assert [node["node_id"] for node in caught.value.details["nodes"]] == ["2", "3"]


def test_a_node_that_fails_is_named_with_its_reason(comfyui, run):
    scope = f"test-{uuid.uuid4().hex}"
    name = ComfyUI(comfyui.url).upload(b"no picture", "bad.png", scope)
    graph = model_free()
    graph["1"]["inputs"]["image"] = name
    try:
        with pytest.raises(ExecutionFailed, match="LoadImage") as caught:
            run(comfyui, {"workflow": graph})
    finally:
        if comfyui.home:
            (comfyui.home / "input" / name).unlink()
            (comfyui.home / "input" / scope).rmdir()
    assert caught.value.details["exception_type"] == "PIL.UnidentifiedImageError"


@pytest.mark.parametrize("moment", range(6))
def test_a_cancel_at_any_moment_ends_the_prompt_and_the_next_job_runs(comfyui, run, small, moment):
    cancelled = threading.Event()
    threading.Timer(random.random() * moment / 2, cancelled.set).start()
    started = time.monotonic()
    wanted = small(width=256, height=144, num_frames=9, steps=100, seed=random.randrange(2**32))
    with pytest.raises(JobCancelled):
        run(comfyui, wanted, cancelled=cancelled)
    assert time.monotonic() - started < 60
    assert run(comfyui, {"workflow": model_free(), "image": small()["image"]})["status"] == "success"


def test_two_jobs_at_once_do_not_mix(comfyui, run, small):
    answers = {}

    def work(frames):
        answers[frames] = run(comfyui, small(width=64, height=64, num_frames=frames))

    jobs = [threading.Thread(target=work, args=(frames,)) for frames in (2, 5)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert {frames: len(answer["outputs"]) - 1 for frames, answer in answers.items()} == {2: 2, 5: 5}
