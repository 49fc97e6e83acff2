"""What the engine answers to a graph before it runs: accepted, coerced, or refused in ComfyUI's words."""

import uuid
from typing import Any

import pytest
import requests

from local.engine import Scenario, start
from tests.integration.engine_client import Client, default_graph, node, picture_graph, png


@pytest.fixture(scope="module")
def client():
    with start(scenario=Scenario(step_seconds=0.005)) as engine:
        client = Client(engine.url, engine.home)
        client.upload("start.png", png())
        yield client


def refusal(client, graph):
    answer = client.post("/prompt", {"prompt": graph})
    assert answer.status_code == 400
    return answer.json()


@pytest.mark.parametrize(("title", "told"), [(None, "NoSuchNode"), ("Mine", "Mine")])
def test_an_unknown_class_is_told_by_the_nodes_title_and_in_extra_info(client, title, told):
    meta = {"_meta": {"title": title}} if title else {}
    assert refusal(client, {"8": {**node("NoSuchNode"), **meta}}) == {
        "error": {
            "type": "missing_node_type",
            "message": f"Node '{told}' not found. The custom node may not be installed.",
            "details": "Node ID '#8'",
            "extra_info": {"node_id": "8", "class_type": "NoSuchNode", "node_title": told},
        },
        "node_errors": {},
    }


def test_a_class_that_only_comfyui_has_is_told_as_such(client):
    error = refusal(client, {"8": node("SaveAudio")})["error"]
    assert (error["type"], error["extra_info"]["class_type"]) == ("missing_node_type", "SaveAudio")
    assert "preview engine" in error["message"]


def test_a_node_without_class_type_is_told_by_its_id(client):
    error = refusal(client, {"8": {"inputs": {}}})["error"]
    assert error["message"].startswith("Node 'ID #8' has no class_type.")


@pytest.mark.parametrize("graph", [{}, {"1": node("LoadImage", image="start.png")}])
def test_a_graph_without_output_node_is_refused(client, graph):
    assert refusal(client, graph)["error"]["type"] == "prompt_no_outputs"


def test_a_missing_input_is_told_under_the_node_that_lacks_it(client):
    graph = default_graph()
    del graph["8"]["inputs"]["vae"]
    assert refusal(client, graph) == {
        "error": {
            "type": "prompt_outputs_failed_validation",
            "message": "Prompt outputs failed validation",
            "details": "",
            "extra_info": {},
        },
        "node_errors": {
            "8": {
                "errors": [
                    {
                        "type": "required_input_missing",
                        "message": "Required input is missing",
                        "details": "vae",
                        "extra_info": {"input_name": "vae"},
                    }
                ],
                "dependent_outputs": ["102"],
                "class_type": "VAEDecode",
            }
        },
    }


WIDTH = ["INT", {"default": 848, "min": 16, "max": 16384, "step": 16}]
NOT_A_NUMBER = "invalid literal for int() with base 10: 'wide'"


WRONG_VALUES = {
    "not-in-a-list": (
        ("12", {"weight_dtype": "fp4"}),
        ("value_not_in_list", "weight_dtype: 'fp4' not in ['default', 'fp8_e4m3fn', 'fp8_e4m3fn_fast', 'fp8_e5m2']"),
        {"received_value": "fp4"},
    ),
    "not-in-a-list-too-long-to-spell-out": (
        ("128", {"sampler_name": "nope"}),
        ("value_not_in_list", "sampler_name: 'nope' not in (list of length 44)"),
        {"input_config": None, "received_value": "nope"},
    ),
    "too-small": (
        ("78", {"width": 8}),
        ("value_smaller_than_min", "width"),
        {"input_config": WIDTH, "received_value": 8},
    ),
    "too-big": (("78", {"width": 100000}), ("value_bigger_than_max", "width"), {}),
    "too-slow": (("101", {"fps": 0.5}), ("value_smaller_than_min", "fps"), {}),
    "not-a-number": (
        ("78", {"width": "wide"}),
        ("invalid_input_type", f"width, wide, {NOT_A_NUMBER}"),
        {"received_value": "wide", "exception_message": NOT_A_NUMBER},
    ),
    "half-a-link": (("8", {"samples": ["125"]}), ("bad_linked_input", "samples"), {}),
    "a-link-of-the-wrong-type": (
        ("8", {"samples": ["10", 0]}),
        ("return_type_mismatch", "samples, received_type(VAE) mismatch input_type(LATENT)"),
        {"received_type": "VAE", "linked_node": ["10", 0]},
    ),
    "a-link-to-a-missing-node": (
        ("8", {"samples": ["9999", 0]}),
        ("exception_during_inner_validation", "'9999'"),
        {"input_name": "images", "exception_type": "KeyError", "linked_node": ["8", 0]},
    ),
    "a-link-to-a-missing-slot": (
        ("8", {"samples": ["125", 7]}),
        ("exception_during_inner_validation", "list index out of range"),
        {"exception_type": "IndexError"},
    ),
    "an-image-that-was-not-uploaded": (
        ("80", {"image": "not_there.png"}),
        ("custom_validation_failed", "image - Invalid image file: not_there.png"),
        {"input_name": "image"},
    ),
    "a-quality-there-is-not": (
        ("102", {"codec.encoding": "re-encode", "codec.encoding.crf": 52}),
        ("value_bigger_than_max", "codec.encoding.crf"),
        {"input_name": "codec.encoding.crf"},
    ),
    "a-choice-without-what-it-needs": (
        ("102", {"codec.encoding": "re-encode"}),
        ("required_input_missing", "crf"),
        {"input_name": "codec.encoding.crf"},
    ),
}


@pytest.mark.parametrize(("change", "fault", "extra"), WRONG_VALUES.values(), ids=WRONG_VALUES)
def test_a_wrong_value_is_told_with_what_is_allowed(client, change, fault, extra):
    place, inputs = change
    entry = refusal(client, default_graph({place: inputs}))["node_errors"][place]
    assert entry["dependent_outputs"] == ["102"]
    (error,) = entry["errors"]
    assert (error["type"], error["details"]) == fault
    assert extra.items() <= error["extra_info"].items()


def test_a_codec_there_is_not_fails_only_in_its_node(client):
    error = client.failure(default_graph({"102": {"codec": "h265"}}))
    assert (error["node_id"], error["exception_type"]) == ("102", "TypeError")


def test_any_models_file_is_taken_because_there_are_none(client):
    changes = {"12": {"unet_name": "mine.safetensors"}, "10": {"vae_name": "sub/mine.pth"}}
    assert client.run(default_graph(changes))["status"]["completed"]


def test_a_cycle_is_told_under_each_of_its_nodes(client):
    graph = default_graph({"130": {"model": ["a", 0]}}, a=node("ModelSamplingSD3", model=["130", 0], shift=1))
    errors = refusal(client, graph)["node_errors"]
    assert errors.keys() == {"130", "a"}
    assert errors["a"]["errors"][0]["type"] == "dependency_cycle"
    assert errors["a"]["errors"][0]["details"].count("ModelSamplingSD3") == 3


@pytest.mark.parametrize("body", [{"client_id": "x"}, []])
def test_a_body_without_prompt_is_refused(client, body):
    answer = client.post("/prompt", body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "no_prompt")


@pytest.mark.parametrize(
    "body",
    [
        *(b'{"prompt": "text"}', b'{"prompt": null}', b'{"prompt": []}', b"no json"),
        *(b'{"prompt": {"nodes": [], "links": []}}', b'{"prompt": {"1": "text"}}'),
        b'{"prompt": {"1": {"class_type": "LoadImage", "inputs": []}}}',
    ],
)
def test_a_body_that_is_no_graph_gets_500_in_plain_text(client, body):
    answer = requests.post(f"{client.url}/prompt", data=body, timeout=10)
    assert (answer.status_code, answer.headers["Content-Type"].split(";")[0]) == (500, "text/plain")
    assert answer.text == "500 Internal Server Error\n\nServer got itself in trouble"


def test_a_good_output_runs_beside_a_broken_one(client):
    broken = {"501": node("LoadImage", image="gone.png"), "500": node("PreviewImage", images=["501", 0])}
    answer = client.post("/prompt", {"prompt": {**picture_graph(), **broken}, "client_id": "x"}).json()
    assert list(answer["node_errors"]) == ["501"]
    assert answer["node_errors"]["501"]["dependent_outputs"] == ["500"]
    entry = client.wait(answer["prompt_id"])
    assert (entry["status"]["status_str"], list(entry["outputs"])) == ("success", ["3"])


def test_values_are_coerced_and_unknown_ones_kept(client):
    changes: dict[str, dict[str, Any]] = {"78": {"width": "64", "length": 5.9, "mood": "calm"}, "129": {"cfg": "1.0"}}
    _number, _id, graph, extra, outputs = client.run(default_graph(changes))["prompt"]
    assert [graph["78"]["inputs"][name] for name in ("width", "length", "mood")] == [64, 5, "calm"]
    assert graph["129"]["inputs"]["cfg"] == 1.0
    assert extra.keys() == {"client_id", "create_time"}
    assert outputs == ["102"]


def test_the_client_may_choose_a_canonical_uuid_as_prompt_id(client):
    chosen = str(uuid.uuid4())
    answer = client.post("/prompt", {"prompt": picture_graph(), "prompt_id": chosen}).json()
    assert answer["prompt_id"] == chosen
    assert client.post("/prompt", {"prompt": picture_graph(), "prompt_id": None}).json()["prompt_id"] != "None"


@pytest.mark.parametrize(
    "given", ["job-1", 12345, "8f14e45fceea467a9575e1c5b8a1c4d2", "8F14E45F-CEEA-467A-9575-E1C5B8A1C4D2"]
)
def test_any_other_prompt_id_is_refused(client, given):
    answer = client.post("/prompt", {"prompt": picture_graph(), "prompt_id": given})
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_prompt_id")


def test_another_sites_page_is_turned_away(client):
    answer = requests.get(f"{client.url}/queue", headers={"Sec-Fetch-Site": "cross-site"}, timeout=10)
    assert (answer.status_code, answer.content) == (403, b"")


@pytest.mark.parametrize("image", ["../output/out.png", "linked.png", "/etc/hostname"])
def test_an_image_outside_the_input_folder_is_as_good_as_none(client, image):
    (client.home / "output" / "out.png").write_bytes(png())
    link = client.home / "input" / "linked.png"
    if not link.is_symlink():
        link.symlink_to(client.home / "output" / "out.png")
    (error,) = refusal(client, default_graph({"80": {"image": image}}))["node_errors"]["80"]["errors"]
    assert error["details"] == f"image - Invalid image file: {image}"
