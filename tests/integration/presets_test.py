"""Presets, upscaling and the operator's limits in whole jobs against the preview engine."""

import io
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from PIL import Image

from local import engine as preview
from tests.helpers import color_at, content, contents
from worker.catalogue import PRESETS
from worker.errors import InvalidInput, ModelMissing

UPSAMPLER = "hunyuanvideo15_latent_upsampler_1080p.safetensors"


@pytest.fixture(scope="module")
def engine() -> Iterator[preview.Engine]:
    with preview.start(scenario=preview.Scenario(step_seconds=0.01)) as running:
        yield running


def pictures(answer) -> list[Image.Image]:
    return [Image.open(io.BytesIO(data)) for data in contents(answer)]


def test_the_answer_tells_what_the_clip_was_made_with(engine, run, small):
    used = run(engine, small(num_frames=1, preset="fast", shift=6.5))["settings"]
    assert used == {
        "preset": "fast",
        "model": PRESETS["fast"].model,
        "steps": 2,
        "cfg": 1.0,
        "shift": 6.5,
        "fit": "crop",
        "upscale": None,
        "interpolate": None,
        "options": [],
        "loras": [],
        "attention": "comfyui",
        "understood": {},
    }


def test_fast_takes_the_480p_size_nearest_to_the_picture(engine, run, picture):
    answer = run(engine, {"image": picture(300, 200), "prompt": "it moves", "preset": "fast", "num_frames": 1})
    assert (answer["width"], answer["height"]) == (768, 512)
    assert answer["settings"]["steps"] == 12


def test_an_upscaled_clip_has_the_size_and_the_frames_that_the_answer_tells(engine, run, small):
    answer = run(engine, small(upscale="1080p", width=112, height=80, num_frames=6))
    assert (answer["width"], answer["height"], answer["num_frames"]) == (168, 120, 6)
    assert [picture.size for picture in pictures(answer)] == [(168, 120)] * 6
    with av.open(io.BytesIO(content(answer))) as clip:
        assert [(frame.width, frame.height) for frame in clip.decode(video=0)] == [(168, 120)] * 6
    assert answer["settings"]["model"] == PRESETS["balanced"].model


def test_fast_720p_gives_the_720p_size_and_interpolation_exactly_the_frames(engine, run, small):
    wanted = {"image": small()["image"], "preset": "fast_720p", "num_frames": 7, "fps": 48, "interpolate": 2}
    answer = run(engine, {**wanted, "steps": 1, "width": 112, "height": 64})
    assert (answer["width"], answer["height"], answer["num_frames"], answer["fps"]) == (168, 96, 7, 48)
    assert len(pictures(answer)) == 7
    with av.open(io.BytesIO(content(answer))) as clip:
        assert sum(1 for _ in clip.decode(video=0)) == 7
        assert clip.streams.video[0].average_rate == 48
    assert answer["settings"]["interpolate"] == 2


def test_pad_keeps_the_whole_picture_between_black_bars(engine, run, small, picture):
    answer = run(engine, small(image=picture(192, 32), width=96, height=96, num_frames=1, fit="pad"))
    assert answer["settings"]["fit"] == "pad"
    assert not [warning for warning in answer["warnings"] if "crop" in warning]
    (frame,) = pictures(answer)
    top = [color_at(frame, x, 3) for x in range(20, 76)]
    middle = [color_at(frame, x, 48) for x in range(20, 76)]
    assert max(map(sum, top)) < min(map(sum, middle))


def test_a_crop_says_how_to_keep_the_whole_picture(engine, run, small, picture):
    warnings = run(engine, small(image=picture(192, 32), width=96, height=96, num_frames=1))["warnings"]
    assert [warning for warning in warnings if '"fit": "pad"' in warning]


@pytest.mark.parametrize(
    ("fields", "lacking", "told"),
    [
        ({"preset": "fast"}, PRESETS["fast"].model, "adds fast to MODEL_SETS"),
        ({"upscale": "1080p"}, UPSAMPLER, "adds upscale to MODEL_SETS"),
        ({}, PRESETS["balanced"].model, "adds default to MODEL_SETS"),
    ],
)
def test_a_preset_whose_models_are_missing_names_them_and_their_set(run, small, fields, lacking, told):
    with preview.start(scenario=preview.Scenario(missing_models=(lacking,))) as engine:
        with pytest.raises(ModelMissing, match=lacking) as caught:
            run(engine, small(**fields))
    assert told in caught.value.message
    assert [Path(file).name for file in caught.value.details["files"]] == [lacking]


def test_a_clip_over_the_gpus_limit_is_refused_with_what_may_be_asked_for(engine, run, small):
    limits = ((0.001, 0.05), (1e6, 100.0))  # the second is for a GPU that this machine does not have
    with pytest.raises(InvalidInput, match=r"9 frames of 96x64 .* allows 0.05 \(CLIP_LIMITS\): at most 8 frames"):
        run(engine, small(num_frames=9), clip_limits=limits)
    assert run(engine, small(num_frames=8), clip_limits=limits)["num_frames"] == 8


def test_an_upscaled_clip_counts_at_its_final_size(engine, run, small):
    with pytest.raises(InvalidInput, match=r"8 frames of 144x96"):
        run(engine, small(num_frames=8, upscale="1080p"), clip_limits=((0.001, 0.05),))


def test_the_operators_options_are_in_the_graph_and_in_the_answer(engine, run, small):
    options = ("easycache", "tiled_decode")
    assert run(engine, small(num_frames=1), graph_options=options)["settings"]["options"] == list(options)


def test_loras_are_applied_as_comfyui_names_them_and_told(run, small):
    files = ("film/grain.safetensors", "style.safetensors")
    with preview.start(scenario=preview.Scenario(loras=files)) as engine:
        answer = run(engine, small(num_frames=1, loras=["grain", {"name": "style", "strength": -0.5}]))
        told = answer["settings"]["loras"]
        assert told == [{"name": files[0], "strength": 1.0}, {"name": files[1], "strength": -0.5}]
        with pytest.raises(InvalidInput, match=r"no LoRA 'styel'; it has film/grain.safetensors, style"):
            run(engine, small(loras=["styel"]))


def test_the_preview_engine_takes_any_lora_as_it_has_no_use_for_one(engine, run, small):
    answer = run(engine, small(num_frames=1, loras=["style"], upscale="1080p"))
    assert answer["settings"]["loras"] == [{"name": "style.safetensors", "strength": 1.0}]
