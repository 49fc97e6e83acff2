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
    sets = [catalogue.sets_with(model)[0] for model in PRESETS[name].models]
    assert models_of(parsed(preset=name)) == files_of(*sets)
    assert catalogue.find_preset_fault(name, sets) is None
    assert catalogue.find_preset_fault(name, set(catalogue.MODEL_SETS) - {sets[-1]}) is not None


def files_of(*sets: str) -> set[str]:
    return {model.name for model in catalogue.load(sets, {})}


def test_an_upscales_and_the_interpolations_models_are_sets_beside_the_presets() -> None:
    assert models_of(parsed(upscale="1080p")) == files_of("default", "upscale")
    assert models_of(parsed(preset="fast", upscale="720p")) == files_of("fast", "upscale_720p")
    assert models_of(parsed(interpolate=2)) == files_of("default", "smooth")


def test_an_upscale_is_refused_where_it_does_not_go_on_from_the_presets_size() -> None:
    with pytest.raises(InvalidInput, match=r"^upscale: 1080p only works with preset balanced or quality"):
        parsed(preset="fast", upscale="1080p")
    with pytest.raises(InvalidInput, match=r"^upscale: 720p only works with preset fast or fast_720p"):
        parsed(upscale="720p")
    with pytest.raises(InvalidInput, match=r"^upscale: must be one of 720p, 1080p, got '4k'"):
        parsed(upscale="4k")


@pytest.mark.parametrize(
    ("size", "larger"),
    [((848, 480), (1280, 720)), ((480, 848), (720, 1280)), ((640, 640), (960, 960)), ((512, 768), (784, 1168))],
)
def test_a_trained_480p_size_becomes_the_720p_one_of_its_shape(size: tuple[int, int], larger: tuple[int, int]) -> None:
    assert parsed(preset="fast_720p", width=size[0], height=size[1]).form(1, 1).size == larger
    assert parsed(preset="fast_720p").form(*size).size == larger


def test_fast_720p_is_fast_and_the_six_steps_of_the_upscaler() -> None:
    same, both = parsed(preset="fast", upscale="720p", seed=1), parsed(preset="fast_720p", seed=1)
    form, names = both.form(848, 480), dict[str, Any](image_name="a.png", prefix="job")
    graph = fill(both, form, **names)
    assert graph.nodes == fill(same, form, **names).nodes
    inputs = {node["_meta"]["title"]: node["inputs"] for node in graph.nodes.values()}
    assert inputs["Set super-resolution steps"]["steps"] == 6
    assert inputs["Split super-resolution steps"]["step"] == 3
    assert inputs["Condition on image"]["width"] == 848
    assert graph.smaller == "use preset fast"


def sigmas(steps: int, shift: float = 2.0) -> list[float]:
    """The noise at the start of each step, as ComfyUI's simple scheduler has it."""
    plain = [1 - step / steps for step in range(steps)]
    return [shift * noise / (1 + (shift - 1) * noise) for noise in plain]


@pytest.mark.parametrize("upscale", catalogue.UPSCALES.values())
def test_the_steps_of_much_noise_see_the_smaller_clip(upscale: catalogue.Upscale) -> None:
    """The publisher leaves it out below a noise of 0.7 (hyvideo/pipelines/hunyuan_video_sr_pipeline.py)."""
    assert sum(noise >= 0.7 for noise in sigmas(upscale.steps)) == upscale.split


@pytest.mark.parametrize("frames", [1, 2, 5, 16, 25, 121, 129])
@pytest.mark.parametrize("factor", [2, 4])
def test_an_interpolated_clip_has_exactly_its_frames_of_the_fewest_sampled(frames: int, factor: int) -> None:
    request = parsed(num_frames=frames, interpolate=factor, fps=48)
    form = request.form(1, 1)
    assert (form.length - 1) % 4 == 0
    assert (form.length - 1) * factor + 1 >= frames > (form.length - 5) * factor + 1
    graph = fill(request, form, image_name="a.png", prefix="job")
    by_title = {node["_meta"]["title"]: (node_id, node["inputs"]) for node_id, node in graph.nodes.items()}
    draw, inputs = by_title["Interpolate frames"]
    assert inputs == {"interp_model": [by_title["Load interpolation model"][0], 0], "multiplier": factor} | {
        "images": [by_title["Decode frames"][0], 0]
    }
    assert by_title["Cut to length"][1] == {"image": [draw, 0], "batch_index": 0, "length": frames}
    assert by_title["Create video"][1]["fps"] == 48


def test_an_upscaled_clip_is_interpolated_at_its_final_size() -> None:
    request = parsed(preset="fast_720p", interpolate=4)
    graph = fill(request, request.form(1, 1), image_name="a.png", prefix="job")
    ids = {node["_meta"]["title"]: node_id for node_id, node in graph.nodes.items()}
    assert graph.nodes[ids["Interpolate frames"]]["inputs"]["images"] == [ids["Cut to size"], 0]


@pytest.mark.parametrize("factor", [3, 5, True, "2.5", [2]])
def test_other_factors_are_refused(factor: object) -> None:
    with pytest.raises(InvalidInput, match=r"^interpolate: must be one of 2, 4"):
        parsed(interpolate=factor)


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
    assert re.search(r"diffusion_models/hunyuanvideo1.5_480p\S+ \(8.3 GB\).* adds fast to MODEL_SETS", error.message)
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
