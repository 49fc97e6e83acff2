"""SetAttention, of comfyui_nodes/, on a real ComfyUI: the clip stays the same; skipped on one that lacks the node."""

import base64
import io

import pytest
from PIL import Image, ImageChops, ImageStat

from worker import config
from worker.catalogue import PRESETS
from worker.comfyui import ComfyUI
from worker.errors import ModelMissing, WorkflowRejected
from worker.graph import ATTENTION_SETTER, COMFYUIS_ATTENTION, fill
from worker.input.request import parse

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(autouse=True)
def has_the_node(comfyui):
    if not ComfyUI(comfyui.url).has_node(ATTENTION_SETTER):
        pytest.skip(f"{comfyui.url} has no {ATTENTION_SETTER}: comfyui_nodes/ is not in its custom_nodes/")


def test_without_a_gpu_comfyui_chooses_and_the_answer_says_so(comfyui, run, small):
    assert ComfyUI(comfyui.url).default_of(ATTENTION_SETTER, "attention") in {"cudnn", COMFYUIS_ATTENTION}
    answer = run(comfyui, small(num_frames=1, steps=1))
    assert answer["settings"]["attention"] == ComfyUI(comfyui.url).default_of(ATTENTION_SETTER, "attention")


@pytest.mark.parametrize("fields", [*({"preset": name} for name in PRESETS), {"upscale": "1080p"}], ids=str)
def test_the_frames_are_those_of_comfyuis_own_attention(comfyui, run, picture, fields):
    base = {"image": "aW1hZ2U=", "prompt": "waves", "seed": 3, "num_frames": 5, "steps": 3, "width": 112, "height": 80}
    request = parse({**base, **fields}, config.read({}))
    form = request.form(112, 80)

    def frames(attention):
        nodes = fill(request, form, image_name="mine.png", prefix="clip", attention=attention).nodes
        try:
            answer = run(comfyui, {"workflow": nodes, "images": [{"name": "mine.png", "image": picture(112, 80)}]})
        except (ModelMissing, WorkflowRejected) as error:
            pytest.skip(error.message)
        return [Image.open(io.BytesIO(base64.b64decode(entry["data"]))) for entry in answer["images"]]

    own, cudnn = frames(COMFYUIS_ATTENTION), frames("cudnn")
    assert len(own) == len(cudnn) == 5
    for one, other in zip(own, cudnn, strict=True):
        difference = ImageStat.Stat(ImageChops.difference(one.convert("RGB"), other.convert("RGB")))
        assert max(high for _, high in difference.extrema) <= 8
        assert max(difference.mean) < 0.5
