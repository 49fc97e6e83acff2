"""SaveFrames, of comfyui_nodes/, on a real ComfyUI beside SaveImage; skipped on one that lacks it."""

import base64
import io
import os
import threading

import pytest
import requests
from PIL import Image

from worker import config
from worker.comfyui import ComfyUI
from worker.errors import JobCancelled
from worker.graph import FRAME_SAVER, fill
from worker.input.request import parse

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(autouse=True)
def has_the_node(comfyui):
    if not ComfyUI(comfyui.url).has_node(FRAME_SAVER):
        pytest.skip(f"{comfyui.url} has no {FRAME_SAVER}: comfyui_nodes/ is not in its custom_nodes/")


def moving(frames=12, side=64):
    """An animated picture of noise, which LoadImage reads as that many frames."""
    pictures = [Image.frombytes("RGB", (side, side), os.urandom(side * side * 3)) for _ in range(frames)]
    buffer = io.BytesIO()
    pictures[0].save(buffer, "PNG", save_all=True, append_images=pictures[1:])
    return base64.b64encode(buffer.getvalue()).decode()


def graph(amount=1, **save_frames):
    """The picture saved by both savers; `amount` times over by SaveFrames."""
    inputs = {"images": ["2", 0], "filename_prefix": "fast", "format": "jpeg", "quality": 95, **save_frames}
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": "mine.png"}},
        "2": {"class_type": "RepeatImageBatch", "inputs": {"image": ["1", 0], "amount": amount}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "plain"}},
        "4": {"class_type": FRAME_SAVER, "inputs": inputs, "_meta": {"title": "Fast"}},
    }


def by_saver(answer):
    """The pictures of SaveFrames and those of SaveImage, each in order."""
    files = {entry["filename"]: entry for entry in answer["images"]}
    return [[opened(files[name]) for name in sorted(files) if prefix in name] for prefix in ("fast", "plain")]


def opened(entry):
    return Image.open(io.BytesIO(base64.b64decode(entry["data"])))


def test_png_frames_have_the_pixels_and_names_of_save_images(comfyui, run):
    answer = run(comfyui, {"workflow": graph(format="png"), "images": [{"name": "mine.png", "image": moving()}]})
    assert [entry["filename"] for entry in answer["images"] if "fast" in entry["filename"]] == [
        f"fast_{number:05}_.png" for number in range(1, 13)
    ]
    fast, plain = by_saver(answer)
    assert len(fast) == 12
    assert [picture.tobytes() for picture in fast] == [picture.tobytes() for picture in plain]
    assert all(picture.info == {} for picture in fast)


@pytest.mark.parametrize("frame_format", ["jpeg", "webp"])
def test_lossy_frames_show_what_save_image_shows(comfyui, run, frame_format, picture):
    images = [{"name": "mine.png", "image": picture(640, 360)}]
    fast, plain = by_saver(run(comfyui, {"workflow": graph(format=frame_format), "images": images}))
    assert [shown.format for shown in fast] == [frame_format.upper()]
    small = [shown.convert("RGB").resize((16, 9), Image.Resampling.BOX).tobytes() for shown in (fast[0], plain[0])]
    assert max(abs(one - other) for one, other in zip(*small, strict=True)) <= 3


def test_the_default_graphs_frames_are_those_of_a_comfyui_without_the_node(comfyui, run, small):
    wanted = small(width=64, height=64, num_frames=6, output="frames", frame_format="png")
    request = parse(wanted, config.read({}))
    nodes = fill(request, request.form(1, 1), image_name="", prefix="").nodes
    plain = run(comfyui, {"workflow": nodes, "image": wanted["image"]})["images"]
    fast, plain = (
        [opened(entry).tobytes() for entry in entries] for entries in (run(comfyui, wanted)["outputs"], plain)
    )
    assert len(set(fast)) == 6
    assert fast == plain


def test_frames_for_the_answer_are_written_by_the_node(comfyui, run, small):
    seen = []
    answer = run(comfyui, small(width=64, height=64, num_frames=6, output="frames"), report=seen.append)
    assert [(entry["mime_type"], entry["quality"]) for entry in answer["outputs"]] == [("image/jpeg", 95)] * 6
    assert [progress["steps"] for progress in seen if progress["node"] == "Save frames" and "steps" in progress][
        -1
    ] == 6


def test_saving_tells_its_progress_and_can_be_interrupted(comfyui, run):
    cancelled, steps = threading.Event(), []

    def report(progress):
        if progress["node"] == "Fast" and "step" in progress:
            steps.append((progress["step"], progress["steps"]))
            cancelled.set()

    wanted = {"workflow": graph(amount=1000, format="png"), "images": [{"name": "mine.png", "image": moving(1, 256)}]}
    with pytest.raises(JobCancelled):
        run(comfyui, wanted, report=report, cancelled=cancelled)
    assert steps[0][0] < 500
    assert steps[0][1] == 1000
    (last,) = requests.get(f"{comfyui.url}/history?max_items=1", timeout=30).json().values()
    assert "execution_interrupted" in dict(last["status"]["messages"])
