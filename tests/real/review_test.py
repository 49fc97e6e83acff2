"""The reviewed classes (worker/graph/classes.json) beside those of the release that they are of."""

import json
from pathlib import Path

import pytest
import requests

from worker import graph
from worker.graph import guard


@pytest.fixture(scope="module")
def listed(comfyui):
    content = json.loads((Path(graph.__file__).parent / "classes.json").read_text(encoding="utf-8"))
    stats = requests.get(f"{comfyui.url}/system_stats", timeout=10).json()["system"]
    if stats["comfyui_version"] != content["release"]:
        pytest.skip(f"this is ComfyUI {stats['comfyui_version']}, the review of {content['release']}")
    schemas = requests.get(f"{comfyui.url}/object_info", timeout=60).json()
    return {name: schema for name, schema in schemas.items() if not schema["python_module"].startswith("custom_nodes")}


def test_every_class_of_the_release_is_reviewed(listed):
    assert listed.keys() - guard.reviewed().keys() == set()


def test_every_input_that_takes_a_text_is_reviewed(listed):
    def takes_text(kind):
        return not isinstance(kind, str) or any(
            word in kind for word in ("STRING", "COMBO", "AUTOGROW", "LOAD_3D", "*")
        )

    missing = [
        (class_type, name)
        for class_type, schema in listed.items()
        for group in ("required", "optional")
        for name, (kind, *_) in schema["input"].get(group, {}).items()
        if takes_text(kind) and name not in guard.reviewed()[class_type]
    ]
    assert missing == []


def test_the_outputs_and_those_that_are_texts_are_the_releases(listed):
    made = [(name, slot, kind) for name, schema in listed.items() for slot, kind in enumerate(schema["output"])]
    passing = {name for name, schema in listed.items() if set(schema["output"]) & {"*", "COMFY_MATCHTYPE_V3"}}
    rules = graph.Rules()
    assert {name for name in listed if rules.count_outputs(name) != len(listed[name]["output"])} == set()
    for name, slot, kind in made:
        if name not in passing:
            assert rules.may_bring_text(["1", slot], {"1": {"class_type": name}}) == (kind == "STRING"), (name, slot)
    text = {"class_type": "PrimitiveString", "inputs": {"value": "a"}}
    passed = {name: {"1": {"class_type": name, "inputs": {"a": ["2", 0]}}, "2": text} for name in passing}
    images_only = {"ResizeImageMaskNode"}
    assert {name for name, nodes in passed.items() if not rules.may_bring_text(["1", 0], nodes)} == images_only


def test_the_inputs_that_sound_like_files_and_are_things_are_the_releases(listed):
    rules = graph.Rules()
    for class_type, schema in listed.items():
        for group in ("required", "optional"):
            for name, (kind, *_) in schema["input"].get(group, {}).items():
                is_thing = guard.is_file_like(name) and kind in ("IMAGE", "MASK", "LATENT", "MODEL", "VIDEO", "AUDIO")
                assert rules.takes_a_thing(class_type, name) == is_thing, (class_type, name)
