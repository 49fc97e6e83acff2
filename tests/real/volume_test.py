"""Models of a network volume, and LoRAs, on a real ComfyUI; skipped without those that bench.real_comfyui writes."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from worker.comfyui import ComfyUI
from worker.errors import InvalidInput

pytestmark = pytest.mark.timeout(600)
NAME = "random.safetensors"


@pytest.fixture
def apply(comfyui, run, small):
    """The frames, as numbers, of a job with these LoRAs."""
    if NAME not in ComfyUI(comfyui.url).choices("LoraLoaderModelOnly", "lora_name"):
        pytest.skip(f"no {NAME} in models/loras")

    def run_job(*loras):
        wanted = small(num_frames=2, steps=3, width=64, height=64, output="frames", frame_format="png", loras=loras)
        answer = run(comfyui, wanted)
        assert answer["settings"]["loras"] == [{**lora, "name": NAME} for lora in loras]
        pictures = [Image.open(io.BytesIO(base64.b64decode(entry["data"]))) for entry in answer["outputs"]]
        return np.stack([np.asarray(picture, float) for picture in pictures])

    return run_job


def test_a_checkpoint_of_the_volume_is_listed(comfyui):
    listed = ComfyUI(comfyui.url).choices("CheckpointLoaderSimple", "ckpt_name")
    if not listed:
        pytest.skip("no volume with checkpoints")
    assert NAME in listed


def test_a_lora_changes_the_frames_by_its_strength(apply):
    plain = apply()
    difference = {
        strength: np.abs(apply({"name": "random", "strength": strength}) - plain).mean() for strength in (0.0, 0.2, 1.0)
    }
    assert difference[0.0] == 0
    assert 0 < difference[0.2] < difference[1.0]


def test_an_unknown_lora_lists_those_that_there_are(comfyui, run, small):
    with pytest.raises(InvalidInput, match=f"no LoRA 'nobodys'; it has .*{NAME}"):
        run(comfyui, small(loras=["nobodys"]))
