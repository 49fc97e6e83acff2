"""Requests as strangers wrap them: each is understood as what it can only mean."""

import json
from typing import Any

import pytest

from worker import config
from worker.errors import InvalidInput, WorkflowRejected
from worker.graph import Rules, adapt
from worker.input.request import parse

SETTINGS = config.read({})
GRAPH = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "a"}},
}
EDITORS: dict[str, Any] = {
    "nodes": [
        {"id": 1, "type": "LoadImage", "mode": 0},
        {"id": 2, "type": "Reroute"},
        {"id": 3, "type": "SaveImage", "mode": 4},
    ],
    "links": [],
    "groups": [{"title": "Mine"}],
    "definitions": {"subgraphs": [{"id": "s", "nodes": []}]},
}
FILE = {"name": "a.png", "image": "aW1h"}
TEXT = json.dumps(GRAPH)


@pytest.mark.parametrize(
    "job_input",
    [
        GRAPH,
        TEXT,
        json.dumps(TEXT),
        {"input": {"workflow": GRAPH}},
        {"input": json.dumps({"input": {"workflow": TEXT}})},
        *({name: GRAPH} for name in ("workflow", "workflow_json", "api_workflow", "workflow_api", "prompt")),
        {"workflow_json": TEXT},
        {"prompt": TEXT},
        {"prompt": GRAPH, "client_id": "x", "extra_data": {"extra_pnginfo": {"workflow": EDITORS}}},
        {"workflow": json.dumps(TEXT)},
        *({"workflow": {name: GRAPH}} for name in ("workflow", "workflow_json", "api_workflow", "output", "graph")),
        {"workflow": {"prompt": {"prompt": GRAPH}}},
        {"workflow": {"output": GRAPH, "workflow": EDITORS}},
        {"workflow": {"workflow": EDITORS, "output": TEXT}},
        {"workflow": {"input": {"workflow": GRAPH}}},
    ],
)
def test_a_graph_is_found_in_whatever_it_is_wrapped(job_input: Any) -> None:
    assert parse(job_input, SETTINGS).workflow == GRAPH


@pytest.mark.parametrize(
    "workflow", [EDITORS, json.dumps(EDITORS), {"prompt": EDITORS}, {"workflow": EDITORS}, {"extra": {"w": EDITORS}}]
)
def test_the_editors_own_format_is_told_however_it_is_wrapped(workflow: Any) -> None:
    request = parse({"workflow": workflow}, SETTINGS)
    assert request.workflow
    with pytest.raises(WorkflowRejected, match="Export"):
        adapt(request.workflow, uploads={}, image_name=None, prefix="job", rules=Rules())


@pytest.mark.parametrize(
    "job_input",
    [
        {"prompt": "5", "image": "aW1h"},
        {"prompt": '{"a": "a JSON prompt", "camera": {"motion": "slow"}}', "image": "aW1h"},
        {"prompt": '["a", "b"]', "image": "aW1h"},
    ],
)
def test_a_prompt_that_is_no_graph_stays_text(job_input: dict[str, str]) -> None:
    request = parse(job_input, SETTINGS)
    assert (request.prompt, request.workflow) == (job_input["prompt"], None)


@pytest.mark.parametrize(
    "images",
    [
        [FILE],
        FILE,
        json.dumps([FILE]),
        {"a.png": "aW1h"},
        *({"name": "a.png", key: "aW1h"} for key in ("data", "url", "file")),
        [{"filename": "a.png", "image": "aW1h"}],
        *(
            [{"name": "a.png", key: "aW1h"}]
            for key in ("data", "base64", "url", "image_base64", "image_url", "content")
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["images", "files", "input_images"])
def test_files_of_a_workflow_come_in_several_shapes(name: str, images: Any) -> None:
    assert [entry.model_dump() for entry in parse({"workflow": GRAPH, name: images}, SETTINGS).images] == [FILE]


def test_an_entry_of_images_that_is_no_object_is_named_as_that() -> None:
    with pytest.raises(InvalidInput, match=r"images\[0\]: must be an object, got text"):
        parse({"workflow": GRAPH, "images": ["aW1h"]}, SETTINGS)


@pytest.mark.parametrize("layers", [5, 6])
def test_a_graph_is_looked_for_below_five_layers(layers: int) -> None:
    workflow: Any = GRAPH
    for _ in range(layers):
        workflow = {"a": workflow, "b": 5}
    assert (parse({"workflow": workflow}, SETTINGS).workflow == GRAPH) == (layers == 5)
    job_input: Any = {"workflow": GRAPH}
    for _ in range(layers):
        job_input = {"input": job_input}
    if layers == 5:
        assert parse(job_input, SETTINGS).workflow == GRAPH
    else:
        with pytest.raises(InvalidInput):
            parse(job_input, SETTINGS)


def test_wrapping_without_end_is_a_refusal_and_no_crash() -> None:
    value: Any = {"workflow": {}}
    for _ in range(2000):
        value = {"input": value}
    with pytest.raises(InvalidInput):
        parse(value, SETTINGS)
    text = TEXT
    for _ in range(12):
        text = json.dumps(text)
    with pytest.raises(InvalidInput):
        parse({"workflow": text}, SETTINGS)


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ({"preset": " Fast "}, {"preset": "fast"}),
        ({"output": "Video"}, {"output": "video"}),
        ({"frame_format": "JPG"}, {"frame_format": "jpeg"}),
        ({"frame_format": "PNG"}, {"frame_format": "png"}),
        ({"resolution": "720P"}, {"resolution": "720p"}),
        ({"resolution": 480}, {"resolution": "480p"}),
        ({"upscale": 1080}, {"upscale": "1080p"}),
        *(({"upscale": no}, {"upscale": None}) for no in (False, "false", "None", 0, "off")),
        ({"interpolate": "2"}, {"interpolate": 2}),
        ({"interpolate": False}, {"interpolate": None}),
        ({"interpolate": 1}, {"interpolate": None}),
        ({"fit": "cover"}, {"fit": "crop"}),
        ({"fit": "Contain"}, {"fit": "pad"}),
        ({"aspect_ratio": "16/9"}, {"aspect_ratio": "16/9"}),
        ({"image_url": ""}, {"image_url": None}),
        ({"image_base64": ""}, {"image": "aW1h"}),
    ],
    ids=str,
)
def test_a_value_written_otherwise_is_understood(sent: dict[str, Any], meant: dict[str, Any]) -> None:
    request = parse({"image": "aW1h", **sent}, SETTINGS)
    assert {name: getattr(request, name) for name in meant} == meant
    assert request.form(1920, 1080).num_frames == 25


@pytest.mark.parametrize("seed", [-1, "-1", -1.0, "-1.0", "random", " Randomize "])
def test_a_seed_that_asks_for_any_is_random(seed: Any) -> None:
    assert len({parse({"image": "aW1h", "seed": seed}, SETTINGS).seed for _ in range(3)}) == 3


@pytest.mark.parametrize(
    "loras",
    [
        "mine:0.5",
        ["mine : 0.5"],
        {"name": "mine", "strength": 0.5},
        [{"path": "mine", "scale": 0.5}],
        [{"lora_name": "mine", "weight": "0.5"}],
    ],
    ids=str,
)
def test_a_lora_comes_in_several_shapes(loras: Any) -> None:
    (lora,) = parse({"image": "aW1h", "loras": loras}, SETTINGS).loras
    assert (lora.name, lora.strength) == ("mine", 0.5)


def test_a_lora_of_that_name_keeps_its_colon() -> None:
    (lora,) = parse({"image": "aW1h", "loras": ["style: ink"]}, SETTINGS).loras
    assert (lora.name, lora.strength) == ("style: ink", 1)
