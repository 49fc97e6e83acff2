"""Presets: what a job gets for the fields that it leaves out, and which models that takes."""

import re
from typing import Any

import pytest

from worker import catalogue, config
from worker.catalogue import PRESETS
from worker.errors import ConfigError, InvalidInput
from worker.graph import fill
from worker.input.request import TRAINED_SIZES, Request, parse

SETTINGS = config.read({})
LEAST = {"image": "aW1hZ2U=", "prompt": "waves"}


def parsed(**fields: Any) -> Request:
    return parse({**LEAST, **fields}, SETTINGS)


def models_of(request: Request, **changes: Any) -> set[str]:
    graph = fill(request, request.form(1, 1), image_name="a.png", prefix="job", **changes)
    values = [value for node in graph.nodes.values() for value in node["inputs"].values()]
    return {value for value in values if isinstance(value, str) and value.endswith(".safetensors")}


def test_without_a_preset_a_job_gets_the_operators() -> None:
    assert parsed(seed=1) == parsed(seed=1, preset="balanced")
    chosen = parse(LEAST, config.read({"DEFAULT_PRESET": "FAST"}))
    assert (chosen.preset, chosen.steps, chosen.resolution) == ("fast", 12, "480p")


def test_a_field_of_the_input_wins_over_its_preset() -> None:
    request = parsed(preset="quality", steps=8, shift=5)
    assert (request.steps, request.shift, request.cfg) == (8, 5, 1)
    assert parsed(preset="fast", width=848, height=480).resolution is None
    assert parsed(preset="fast", resolution="720p").resolution == "720p"


def test_null_counts_as_left_out_for_a_preset_too() -> None:
    assert parsed(preset=None, steps=None).steps == 20
    assert parsed(preset="fast", steps=None).steps == 12


@pytest.mark.parametrize("name", PRESETS)
def test_a_presets_models_are_one_set_of_the_catalogue(name: str) -> None:
    needed = models_of(parsed(preset=name))
    assert any(needed == {model.name for model in catalogue.load([one], {})} for one in catalogue.MODEL_SETS)


def test_the_upscale_graphs_models_are_the_sets_default_and_upscale() -> None:
    wanted = {model.name for model in catalogue.load(["default", "upscale"], {})}
    assert models_of(parsed(upscale="1080p")) == wanted


def test_upscale_is_refused_where_the_preset_is_not_720p() -> None:
    with pytest.raises(InvalidInput, match=r"^upscale: only works with 720p presets: use balanced or quality"):
        parsed(preset="fast", upscale="1080p")
    with pytest.raises(InvalidInput, match=r"^upscale: must be 1080p or left out, got '4k'"):
        parsed(upscale="4k")


@pytest.mark.parametrize("size", TRAINED_SIZES["720p"], ids=str)
def test_an_upscaled_clip_is_exactly_one_and_a_half_times_as_large(size: tuple[int, int]) -> None:
    request = parsed(upscale="1080p", width=size[0], height=size[1])
    form = request.form(1, 1)
    graph = fill(request, form, image_name="a.png", prefix="job")
    inputs = {node["_meta"]["title"]: node["inputs"] for node in graph.nodes.values()}
    latent, cut = inputs["Upscale latent"], inputs["Cut to size"]
    assert (cut["width"], cut["height"]) == form.size == (size[0] * 1.5, size[1] * 1.5)
    for side, start in (("width", "x"), ("height", "y")):
        assert latent[side] % 16 == 0
        assert 0 <= latent[side] - cut[side] < 16
        assert 0 <= cut[start] <= latent[side] - cut[side]


def test_the_upscaler_samples_with_the_jobs_seed_prompt_and_picture() -> None:
    request = parsed(upscale="1080p", seed=5, negative_prompt="rain")
    nodes = fill(request, request.form(1, 1), image_name="a.png", prefix="job").nodes
    by_title = {node["_meta"]["title"]: node for node in nodes.values()}
    condition = by_title["Condition on upscaled latent"]["inputs"]
    assert [nodes[condition[side][0]]["inputs"]["text"] for side in ("positive", "negative")] == ["waves", "rain"]
    assert nodes[condition["start_image"][0]]["inputs"] == {"image": "a.png"}
    assert by_title["Make upscale noise"]["inputs"]["noise_seed"] == 5


def test_options_change_the_path_of_the_model_and_nothing_when_left_out() -> None:
    request = parsed(seed=1)
    form, names = request.form(1, 1), dict[str, Any](image_name="a.png", prefix="job")
    plain, changed = (
        fill(request, form, **names).nodes,
        fill(request, form, options=("easycache", "torch_compile"), **names).nodes,
    )
    assert set(changed) - set(plain) == {"easycache", "torch_compile"}
    (loader,) = [node_id for node_id, node in plain.items() if node["class_type"] == "UNETLoader"]
    assert changed["torch_compile"]["inputs"]["model"] == [loader, 0]
    assert changed["easycache"]["inputs"]["model"] == ["torch_compile", 0]
    moved = {node_id for node_id, node in plain.items() if changed[node_id] != node}
    assert {plain[node_id]["class_type"] for node_id in moved} == {"ModelSamplingSD3"}
    assert all(changed[node_id]["inputs"]["model"] == ["easycache", 0] for node_id in moved)


def test_tiled_decode_changes_the_decoder_only() -> None:
    request = parsed(seed=1)
    form, names = request.form(1, 1), dict[str, Any](image_name="a.png", prefix="job")
    plain, changed = fill(request, form, **names).nodes, fill(request, form, options=("tiled_decode",), **names).nodes
    assert [changed[node_id]["class_type"] for node_id in plain if plain[node_id] != changed[node_id]] == [
        "VAEDecodeTiled"
    ]


def test_a_missing_model_is_told_with_its_place_size_and_set() -> None:
    error = catalogue.explain_missing({PRESETS["fast"].model, "own.safetensors"})
    assert error is not None
    assert re.search(
        r"diffusion_models/hunyuanvideo1.5_480p\S+ \(about 8.3 GB\).* adds fast to MODEL_SETS", error.message
    )
    assert error.details["files"] == [f"diffusion_models/{PRESETS['fast'].model}"]
    assert catalogue.explain_missing({"own.safetensors"}) is None


@pytest.mark.parametrize("text", ["24", "24:x", "24:0", "-1:5", "24:50,48", "24:nan", "24:inf", "1:2:3"])
def test_limits_that_cannot_be_used_are_an_error_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match=r"CLIP_LIMITS=.*24:50,48:120"):
        config.read({"CLIP_LIMITS": text})


def test_an_unknown_option_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(
        ConfigError, match=r"GRAPH_OPTIONS=.*sage.* must be some of torch_compile, easycache, tiled_decode"
    ):
        config.read({"GRAPH_OPTIONS": "easycache,sage"})
