"""Every preset, 1080p and every graph option on a real ComfyUI; skipped where a preset's model files are missing."""

import io

import pytest
from PIL import Image

from tests.helpers import content, contents, count_frames
from worker.catalogue import PRESETS
from worker.errors import ModelMissing
from worker.input.request import CAN_UPSCALE

pytestmark = pytest.mark.timeout(600)
SIZE = {"width": 96, "height": 64}


@pytest.fixture
def frames(comfyui, run, small):
    """The frames, as pictures, of a job with these fields; its video is looked at too."""

    def run_job(graph_options=(), **fields):
        wanted = small(num_frames=6, steps=3, frame_format="png", **fields)
        try:
            answer = run(comfyui, wanted, graph_options=graph_options)
        except ModelMissing as error:
            pytest.skip(error.message)
        assert count_frames(content(answer)) == 6
        assert answer["warnings"] == []
        assert answer["settings"]["preset"] == wanted.get("preset", "balanced")
        return [Image.open(io.BytesIO(data)).convert("RGB") for data in contents(answer)]

    return run_job


def assert_moving(pictures, size):
    """Six pictures of that size, none of one colour and no two alike: black frames are what broken values look like."""
    assert [picture.size for picture in pictures] == [size] * 6
    assert all(low < high for picture in pictures for low, high in picture.getextrema())
    assert len({picture.tobytes() for picture in pictures}) == 6


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_gives_a_clip(frames, preset):
    assert_moving(frames(preset=preset, **SIZE), (96, 64))


@pytest.mark.parametrize("preset", CAN_UPSCALE)
def test_1080p_gives_a_clip_one_and_a_half_times_as_large(frames, preset):
    assert_moving(frames(preset=preset, upscale="1080p", width=112, height=80), (168, 120))


def test_the_fast_presets_clip_is_made_by_another_model(frames):
    one, other = frames(preset="balanced", **SIZE), frames(preset="fast", **SIZE)
    assert one[0].tobytes() != other[0].tobytes()


def test_pad_gives_a_clip(frames, picture):
    assert_moving(frames(image=picture(192, 32), fit="pad", **SIZE), (96, 64))


@pytest.mark.parametrize("option", ["easycache", "tiled_decode"])
def test_a_graph_option_gives_a_clip(frames, option):
    assert_moving(frames((option,), **SIZE), (96, 64))
