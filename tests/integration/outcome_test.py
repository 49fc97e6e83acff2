"""What ComfyUI's history may say of a finished prompt: what is understood arrives, the rest is told or skipped."""

import base64
import io
from typing import Any

import av
import pytest
from PIL import Image

from tests.conftest import Run
from tests.helpers import gradient
from tests.odd_comfyui import OddComfyUI, odd_comfyui
from worker.comfyui.outputs import Outputs, SavedFile, Text, read
from worker.errors import ComfyUIUnavailable, ExecutionFailed, OutputFailed, WorkerError, WorkflowRejected

GRAPH = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
    "9": {
        "class_type": "SaveImage",
        "inputs": {"images": ["1", 0], "filename_prefix": "a"},
        "_meta": {"title": "Mine"},
    },
}
PNG = base64.b64decode(gradient())


def video() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", "mp4") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for shade in (30, 90, 200):
            frame = av.VideoFrame.from_image(Image.new("RGB", (64, 64), (shade, shade, 90)))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


def answer_to(run: Run, outputs: Any, files: dict[str, bytes] | None = None, **changes: Any) -> dict[str, Any]:
    comfyui = OddComfyUI(outputs, files={"p.png": PNG} if files is None else files, **changes)
    with odd_comfyui(comfyui):
        return run(comfyui, {"workflow": GRAPH, "image": gradient()}, boot_timeout=0.2)


def saved(filename: object = "p.png", **more: Any) -> dict[str, Any]:
    return {"filename": filename, "subfolder": "", "type": "output", **more}


GOOD = {"images": [saved()]}
ODD = [
    {"9": {"images": [saved(None), saved()]}},
    {"9": {"images": [saved(), saved(5), saved(["p"]), saved("x" * 5000), saved("\0")]}},
    {"9": {"images": [saved(), saved(subfolder=7), saved(type={"a": 1}), None, 5, [saved()]]}},
    {"9": {**GOOD, "animated": True}},
    {"9": {**GOOD, "animated": {"0": True}}},
    {"9": GOOD, "5": None},
    {"9": GOOD, "5": [1, {"a": 2}]},
    {"9": GOOD, "5": "text"},
    {"9": GOOD, "5": {"images": None}},
    {"9": GOOD, "5": {"images": saved(None)}},
    {"9": {"images": saved()}},
]


@pytest.mark.parametrize("outputs", ODD, ids=range(len(ODD)))
def test_what_a_node_shaped_oddly_costs_no_file_that_is_understood(run: Run, outputs: Any) -> None:
    answer = answer_to(run, outputs)
    assert [entry["filename"] for entry in answer["outputs"]] == ["p.png"]
    assert base64.b64decode(answer["images"][0]["data"]) == PNG


def test_each_output_names_its_node_and_what_is_skipped_is_told(run: Run) -> None:
    answer = answer_to(run, {"9": {"images": [saved()], "boxes": [[1, 2], [3, 4]]}})
    assert [entry["node_id"] for entry in answer["outputs"]] == ["9"]
    assert [warning for warning in answer["warnings"] if "node 9 (Mine)" in warning and "'boxes'" in warning]


@pytest.mark.parametrize(
    "outputs", [None, [], "x", {"9": {"images": [saved(None)]}}, {"9": {"images": [saved("gone")]}}]
)
def test_where_nothing_is_left_the_error_is_the_outputs(run: Run, outputs: Any) -> None:
    with pytest.raises(OutputFailed, match=r"saver|no such file"):
        answer_to(run, outputs)


def test_a_file_that_is_gone_costs_no_other_and_is_told(run: Run) -> None:
    answer = answer_to(run, {"9": {"images": [saved("gone.png"), saved()]}})
    assert [entry["filename"] for entry in answer["outputs"]] == ["p.png"]
    assert any("gone.png" in warning for warning in answer["warnings"])


@pytest.mark.parametrize(("name", "data"), [("a.mp4", video()), ("a.flac", b"fLaC sound")])
def test_a_finished_video_or_sound_in_temp_is_sent_and_a_still_preview_is_told(
    run: Run, name: str, data: bytes
) -> None:
    outputs = {"9": {"gifs": [saved(name, type="temp")]}, "8": {"images": [saved(type="temp")] * 2}}
    answer = answer_to(run, outputs, {name: data, "p.png": PNG})
    assert [entry["filename"] for entry in answer["outputs"]] == [name]
    assert any("node 8" in warning and "preview" in warning for warning in answer["warnings"])


def test_a_preview_of_the_video_that_is_saved_is_not_sent_beside_it(run: Run) -> None:
    outputs = {"9": {"gifs": [saved("a.mp4", type="temp")]}, "8": {"images": [saved("b.mp4")]}}
    answer = answer_to(run, outputs, {"a.mp4": video(), "b.mp4": video()})
    assert [entry["filename"] for entry in answer["outputs"]] == ["b.mp4"]
    assert any("a.mp4" in warning for warning in answer["warnings"])


def test_previews_are_sent_where_there_is_nothing_else(run: Run) -> None:
    answer = answer_to(run, {"9": {"images": [saved(type="temp")]}, "8": {"images": [saved("q.png", type="nowhere")]}})
    assert [entry["filename"] for entry in answer["outputs"]] == ["p.png"]
    assert any("q.png" in warning for warning in answer["warnings"])


@pytest.mark.parametrize(
    "output",
    [
        {"result": [{"video": saved()}]},
        {"images": [[saved()], saved()]},
        {"ui": {"images": [saved()]}},
        {"batch": {"first": {"images": [saved()]}, "count": 1}},
    ],
    ids=str,
)
def test_a_file_is_found_however_deep_its_node_names_it(run: Run, output: Any) -> None:
    assert [entry["filename"] for entry in answer_to(run, {"9": output})["outputs"]] == ["p.png"]


def test_where_nothing_can_be_sent_the_error_says_what_there_was(run: Run) -> None:
    with pytest.raises(OutputFailed, match=r"add a saver.*node 9 \(Mine\).*'score'"):
        answer_to(run, {"9": {"score": [0.5]}})


def test_texts_come_back_as_they_are(run: Run) -> None:
    answer = answer_to(run, {"9": {"text": ["a cat", "猫\nand \ud800"]}}, {})
    texts = [(entry["type"], entry["node_id"], entry["encoding"]) for entry in answer["outputs"]]
    assert texts == [("text", "9", "text")] * 2
    assert [entry["data"] for entry in answer["outputs"]] == ["a cat", "猫\nand ?"]


@pytest.mark.parametrize("status", [None, [], {"messages": 5}, {"messages": [None, [], ["a"], "b"]}])
def test_a_status_that_is_not_understood_costs_no_file(run: Run, status: Any) -> None:
    assert answer_to(run, {"9": GOOD}, status=status)["status"] == "success"


@pytest.mark.parametrize(
    "status",
    [
        {"status_str": "error"},
        {"messages": [["execution_error", None]]},
        {"messages": [["execution_error", {"exception_message": ["x"], "traceback": 5, "node_id": {}}]]},
    ],
)
def test_a_failure_told_oddly_is_a_failure(run: Run, status: Any) -> None:
    with pytest.raises(ExecutionFailed):
        answer_to(run, {}, status=status)


@pytest.mark.parametrize("route", ["/system_stats", "/upload", "/prompt", "/queue"])
@pytest.mark.parametrize("said", [b"<html>", [], {}, 5, None, "text", {"system": 1}, {"queue_running": [5]}])
def test_an_answer_that_is_not_comfyuis_is_named_as_that(run: Run, route: str, said: Any) -> None:
    """Another server may be at ComfyUI's address: the error is one of ComfyUI's, and never the worker's own."""
    try:
        answer_to(run, {"9": GOOD}, answers={route: said})
    except WorkerError as error:
        ended = type(error)
        assert ended in {ComfyUIUnavailable, OutputFailed, WorkflowRejected}, error  # noqa: PT017 - or it ends well


def test_each_file_and_text_is_read_with_its_node_and_what_is_neither_is_counted_once() -> None:
    file = {"filename": "a.webp", "subfolder": "s", "type": "temp"}
    made = {
        "9": {"images": [file, {"filename": "b.png"}], "animated": [True], "text": ["x", 5, 6], "n": None},
        "8": 3,
        "7": {"gifs": [file], "animated": [False], "more": {"a": 1}},
    }
    assert read(made) == Outputs(
        (
            SavedFile("9", "a.webp", "s", "temp", animated=True),
            SavedFile("9", "b.png", "", "output", animated=True),
            SavedFile("7", "a.webp", "s", "temp", animated=False),
        ),
        (Text("9", "x"),),
        (("9", "text"), ("8", ""), ("7", "more")),
    )
    assert read({"9": {"images": [{"filename": "x" * 255}, {"filename": "x" * 256}]}}).skipped == (("9", "images"),)


@pytest.mark.parametrize(("depth", "taken"), [(3, True), (900, False)])
def test_what_is_nested_deeper_than_any_node_has_it_is_no_file(depth: int, taken: bool) -> None:
    value: Any = {"filename": "a.png"}
    for _ in range(depth):
        value = [value]
    assert bool(read({"9": {"images": value}}).files) is taken


@pytest.mark.parametrize(("length", "taken"), [(4096, True), (4097, False)])
def test_a_subfolder_longer_than_any_path_is_none(length: int, taken: bool) -> None:
    made = read({"9": {"images": [{"filename": "a.png", "subfolder": "x" * length}]}})
    assert bool(made.files) is taken


def test_a_name_that_is_no_text_is_a_file_that_is_gone(run: Run) -> None:
    odd = {"9": {**GOOD, "more": [{"filename": "\ud800.png"}, {"filename": "\udcff.png"}]}}
    answer = answer_to(run, odd)
    assert len(answer["outputs"]) == 1
    assert sum("has no such file" in warning for warning in answer["warnings"]) == 2
