"""The worker's own graphs against the node schemas recorded from a running ComfyUI 0.33.0."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local.engine.schemas import Input, expand, read
from worker import config
from worker.catalogue import GRAPH_OPTIONS, PRESETS
from worker.graph import DEFAULT_GRAPH, UPSCALE_GRAPH, fill
from worker.input.request import TRAINED_SIZES, parse

SCHEMAS: dict[str, Any] = read()
SETTINGS = config.read({"MAX_FRAMES": "1000"})
LEAST = {"image": "aW1hZ2U=", "prompt": "waves"}
LOWEST = {"num_frames": 1, "fps": 1, "steps": 1, "cfg": 0, "shift": 0, "width": 64, "height": 64, "seed": 0}
HIGHEST = {"num_frames": 1000, "fps": 120, "steps": 100, "cfg": 30, "shift": 100, "width": 2048, "height": 2048}
BOUNDARIES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "lowest": LOWEST,
    "highest": {**HIGHEST, "seed": 2**64 - 1, "prompt": "x" * 10_000},
    "video only": {"output": "video"},
    **{f"preset {name}": {"preset": name} for name in PRESETS},
    "upscale": {"upscale": "1080p"},
    "interpolated": {"interpolate": 2},
    "upscaled and interpolated": {"preset": "fast_720p", "interpolate": 4, "num_frames": 129},
    "upscale of the lowest": {**LOWEST, "upscale": "1080p"},
    "upscale of the highest": {**HIGHEST, "upscale": "1080p"},
    **{f"{frames} frames": {"num_frames": frames} for frames in (2, 4, 5, 16, 129)},
}


def faults(nodes: dict[str, Any]) -> Iterator[str]:
    """Every way in which this graph is not what the schemas ask for."""
    for node_id, node in nodes.items():
        schema = SCHEMAS.get(node["class_type"])
        if schema is None:
            yield f"{node_id}: no class {node['class_type']}"
            continue
        known = {entry.name: entry for entry in expand(schema["input"], node["inputs"])}
        required = {name for name, entry in known.items() if entry.required}
        yield from (f"{node_id}.{name}: missing" for name in required - node["inputs"].keys())
        yield from (f"{node_id}.{name}: unknown" for name in node["inputs"].keys() - known.keys())
        for name in known.keys() & node["inputs"].keys():
            yield from (
                f"{node_id}.{name}: {fault}" for fault in value_faults(nodes, node["inputs"][name], known[name])
            )


def value_faults(nodes: dict[str, Any], value: Any, entry: Input) -> Iterator[str]:
    kind, options = entry.kind, entry.options
    if entry.upload:
        if not isinstance(value, str):
            yield f"{value!r} is no file name"
    elif entry.choices is not None:
        if value not in entry.choices:
            yield f"{value!r} is none of {entry.choices}"
    elif kind in {"INT", "FLOAT"}:
        yield from number_faults(value, kind, options)
    elif kind in {"STRING", "BOOLEAN"}:
        if not isinstance(value, {"STRING": str, "BOOLEAN": bool}[kind]):
            yield f"{value!r} is no {kind}"
    else:
        yield from link_faults(nodes, value, kind)


def number_faults(value: Any, kind: str, options: dict[str, Any]) -> Iterator[str]:
    if isinstance(value, bool) or not isinstance(value, int if kind == "INT" else (int, float)):
        yield f"{value!r} is no {kind}"
    elif not options["min"] <= value <= options["max"]:
        yield f"{value} is outside {options['min']}..{options['max']}"
    elif kind == "INT" and options.get("step", 1) > 1 and (value - options["default"]) % options["step"]:
        yield f"{value} is off the step {options['step']}"


def link_faults(nodes: dict[str, Any], value: Any, kind: str) -> Iterator[str]:
    if not (isinstance(value, list) and len(value) == 2 and value[0] in nodes):
        yield f"{value!r} links to no node"
        return
    outputs = SCHEMAS.get(nodes[value[0]]["class_type"], {"output": []})["output"]
    if outputs[value[1] : value[1] + 1] != [kind]:
        yield f"slot {value[1]} of {outputs} is no {kind}"


def default_nodes(path: Path = DEFAULT_GRAPH) -> dict[str, Any]:
    nodes: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return nodes


@pytest.mark.parametrize("path", [DEFAULT_GRAPH, UPSCALE_GRAPH], ids=lambda path: path.name)
def test_a_graph_as_it_stands_is_what_comfyui_accepts(path: Path) -> None:
    assert list(faults(default_nodes(path))) == []


@pytest.mark.parametrize("options", [(), tuple(GRAPH_OPTIONS)], ids=["as it is", "with all options"])
@pytest.mark.parametrize("fields", BOUNDARIES.values(), ids=BOUNDARIES)
def test_a_graph_filled_from_a_boundary_request_is_what_comfyui_accepts(
    fields: dict[str, Any], options: tuple[str, ...]
) -> None:
    request = parse({**LEAST, **fields}, SETTINGS)
    graph = fill(request, request.form(1, 1), image_name="job/a.png", prefix="job", options=options)
    assert list(faults(graph.nodes)) == []


def test_the_upscale_graph_is_the_default_one_up_to_its_sampler_and_from_its_cut_on() -> None:
    plain, larger = default_nodes(), default_nodes(UPSCALE_GRAPH)
    changed = {node["_meta"]["title"] for node_id, node in plain.items() if larger[node_id] != node}
    assert changed == {"Decode frames", "Cut to length"}


@pytest.mark.parametrize("size", [size for sizes in TRAINED_SIZES.values() for size in sizes], ids=str)
def test_every_trained_size_is_what_comfyui_accepts(size: tuple[int, int]) -> None:
    for width, height in (size, size[::-1]):
        request = parse({**LEAST, "width": width, "height": height}, SETTINGS)
        graph = fill(request, request.form(1, 1), image_name="a.png", prefix="job")
        assert list(faults(graph.nodes)) == []


@pytest.mark.parametrize(
    ("node_id", "name", "value"),
    [
        ("9", "width", 700),
        ("9", "length", 16),
        ("9", "vae", ["8", 0]),
        ("9", "vae", ["77", 0]),
        ("11", "negative", ["9", 2]),
        ("12", "steps", 0),
        ("12", "steps", 1.5),
        ("14", "sampler_name", "nope"),
        ("8", "unet_name", "other.safetensors"),
        ("5", "text", None),
        ("19", "extra", 1),
    ],
)
def test_the_comparison_finds_a_wrong_value(node_id: str, name: str, value: Any) -> None:
    nodes = default_nodes()
    nodes[node_id]["inputs"][name] = value
    assert [fault.split(":")[0] for fault in faults(nodes)] == [f"{node_id}.{name}"]


def test_the_comparison_finds_a_missing_input_and_an_unknown_class() -> None:
    nodes = default_nodes()
    del nodes["16"]["inputs"]["vae"]
    nodes["18"]["class_type"] = "NoSuchNode"
    found = list(faults(nodes))
    assert "16.vae: missing" in found
    assert "18: no class NoSuchNode" in found


@pytest.mark.parametrize("path", [DEFAULT_GRAPH, UPSCALE_GRAPH], ids=lambda path: path.name)
def test_every_node_is_titled_once(path: Path) -> None:
    titles = [node["_meta"]["title"] for node in default_nodes(path).values()]
    assert all(titles)
    assert len(set(titles)) == len(titles)
