"""Every preset, 1080p and every graph option on a real ComfyUI; skipped where a preset's model files are missing."""

import io

import pytest
import requests
from PIL import Image

from tests.helpers import content, contents, count_frames
from worker.catalogue import PRESETS
from worker.comfyui import ComfyUI
from worker.errors import ModelMissing
from worker.graph import LORA_LOADER

pytestmark = pytest.mark.timeout(600)
SIZE = {"width": 96, "height": 64}


@pytest.fixture
def frames(comfyui, run, small):
    """The frames, as pictures, of a job with these fields; its video is looked at too."""

    def run_job(graph_options=(), *, num_frames=6, **fields):
        wanted = small(num_frames=num_frames, steps=3, frame_format="png", **fields)
        try:
            answer = run(comfyui, wanted, graph_options=graph_options)
        except ModelMissing as error:
            pytest.skip(error.message)
        assert count_frames(content(answer)) == num_frames
        assert answer["warnings"] == []
        assert answer["settings"]["preset"] == wanted.get("preset", "balanced")
        return [Image.open(io.BytesIO(data)).convert("RGB") for data in contents(answer)]

    return run_job


def assert_moving(pictures, size, count=6):
    """Pictures of that size, none of one colour and no two alike: black frames are what broken values look like."""
    assert [picture.size for picture in pictures] == [size] * count
    assert all(low < high for picture in pictures for low, high in picture.getextrema())
    assert len({picture.tobytes() for picture in pictures}) == count


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_gives_a_clip(frames, preset):
    larger = 3 / 2 if PRESETS[preset].upscaled else 1
    assert_moving(frames(preset=preset, **SIZE), (96 * larger, 64 * larger))


@pytest.mark.parametrize("preset", PRESETS)
def test_an_upscale_gives_a_clip_one_and_a_half_times_as_large(frames, preset):
    upscale = PRESETS[preset].upscale
    assert_moving(frames(preset=preset, upscale=upscale, width=112, height=80), (168, 120))


@pytest.mark.parametrize(("factor", "num_frames"), [(2, 7), (4, 18)])
def test_interpolation_gives_exactly_the_frames_asked_for(frames, factor, num_frames):
    pictures = frames(interpolate=factor, num_frames=num_frames, fps=48, **SIZE)
    assert_moving(pictures, (96, 64), num_frames)


def test_the_fast_presets_clip_is_made_by_another_model(frames):
    one, other = frames(preset="balanced", **SIZE), frames(preset="fast", **SIZE)
    assert one[0].tobytes() != other[0].tobytes()


def test_pad_gives_a_clip(frames, picture):
    assert_moving(frames(image=picture(192, 32), fit="pad", **SIZE), (96, 64))


@pytest.mark.parametrize("option", ["easycache", "tiled_decode"])
def test_a_graph_option_gives_a_clip(frames, option):
    assert_moving(frames((option,), **SIZE), (96, 64))


@pytest.mark.parametrize(
    "fields",
    [{}, {"loras": ["random"]}, {"upscale": "1080p", **SIZE}, {"preset": "fast_720p", **SIZE}, {"interpolate": 2}],
)
def test_a_job_that_changes_the_seed_only_does_not_encode_again(comfyui, run, small, fields):
    if fields.get("loras") and "random.safetensors" not in ComfyUI(comfyui.url).choices(LORA_LOADER, "lora_name"):
        pytest.skip("no random.safetensors in models/loras")

    def cached(**changed):
        job = run(comfyui, small(num_frames=3, steps=2, **fields, **changed))
        entry = requests.get(f"{comfyui.url}/history/{job['prompt_id']}", timeout=60).json()[job["prompt_id"]]
        nodes = dict(entry["status"]["messages"])["execution_cached"]["nodes"]
        return {entry["prompt"][2][node_id]["_meta"]["title"] for node_id in nodes}

    cached(seed=1)
    again = cached(seed=2)
    assert {"Encode image", "Encode prompt", "Condition on image"} <= again
    assert again.isdisjoint({"Sample", "Decode frames"})
