"""The worker's own graphs with a request's values in them: each node that takes one is found by its title."""

import functools
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from worker.catalogue import PRESETS, UPSCALES
from worker.errors import ConfigError
from worker.graph import options as graph_options
from worker.graph.graph import Graph, title_of
from worker.graph.options import COMFYUIS_ATTENTION
from worker.input import limits
from worker.input.loras import Lora
from worker.input.request import SIDE_STEP, Form, Request
from worker.stills import LADDERS

DEFAULT_GRAPH = Path(__file__).parents[2] / "workflow_api.json"
UPSCALE_GRAPH = Path(__file__).parent / "upscale.json"
"""The default graph and behind its sampler a second one, of a super-resolution model, on the latent made larger."""
INTERPOLATION = Path(__file__).parent / "interpolate.json"
"""Nodes that draw frames between the sampled ones."""

LOAD_IMAGE = "Load image"
LOAD_MODEL = "Load model"
ENCODE_PROMPT = "Encode prompt"
ENCODE_NEGATIVE_PROMPT = "Encode negative prompt"
CONDITION = "Condition on image"
SET_SHIFT = "Set noise shift"
SET_GUIDANCE = "Set guidance"
SET_STEPS = "Set steps"
MAKE_NOISE = "Make noise"
DECODE = "Decode frames"
CUT_TO_LENGTH = "Cut to length"
CREATE_VIDEO = "Create video"
SAVE_VIDEO = "Save video"
SAVE_FRAMES = "Save frames"

# Only in the upscale graph.
LOAD_UPSAMPLER = "Load latent upscaler"
UPSCALE_LATENT = "Upscale latent"
LOAD_SUPER_RESOLUTION = "Load super-resolution model"
SET_UPSCALE_STEPS = "Set super-resolution steps"
SPLIT_UPSCALE_STEPS = "Split super-resolution steps"
MAKE_UPSCALE_NOISE = "Make upscale noise"
CUT_TO_SIZE = "Cut to size"

# Only in the interpolation's nodes.
INTERPOLATE = "Interpolate frames"

FRAME_SAVER = "SaveFrames"
"""The class of comfyui_nodes/ that takes SaveImage's place where ComfyUI has it."""


def fill(
    request: Request,
    form: Form,
    *,
    image_name: str,
    prefix: str,
    frame_saver: bool = False,
    options: Collection[str] = (),
    loras: Sequence[Lora] = (),
    attention: str = COMFYUIS_ATTENTION,
) -> Graph:
    """The graph for the request, with its values.

    image_name: the picture's name in ComfyUI's input folder. prefix: the job's own folder in its output folder.
    frame_saver: ComfyUI has FRAME_SAVER, which then writes the frames as the answer is to have them.
    options: names of catalogue.GRAPH_OPTIONS. loras: under the names that ComfyUI has. attention: a choice of
    ATTENTION_SETTER, which ComfyUI has.
    """
    path = UPSCALE_GRAPH if request.upscale else DEFAULT_GRAPH
    nodes = json.loads(_text(path))
    ids = {title_of(node, node_id): node_id for node_id, node in nodes.items()}
    wanted = _inputs(request, form, image_name, prefix)
    if request.upscale:
        wanted |= _upscale_inputs(request, form)
    for title in (*wanted, DECODE):
        if title not in ids:
            raise ConfigError(f"{path.name} needs a node titled {title!r}")
    for title, inputs in wanted.items():
        nodes[ids[title]]["inputs"].update(inputs)
    if request.interpolate:
        _interpolate(nodes, ids[CUT_TO_LENGTH], request.interpolate)
    graph_options.apply(options, nodes, model=ids[LOAD_MODEL], decoder=ids[DECODE])
    graph_options.add_loras(loras, nodes)
    if attention != COMFYUIS_ATTENTION:
        graph_options.set_attention(attention, nodes)
    return _with_frames(request, form, nodes, ids, frame_saver)


def _with_frames(
    request: Request, form: Form, nodes: dict[str, Any], ids: Mapping[str, str], frame_saver: bool
) -> Graph:
    frames_node, quality = ids[SAVE_FRAMES], None
    if request.output == "video":
        del nodes[frames_node]
    elif frame_saver:
        quality = _save_as_sent(nodes[frames_node], request.frame_format)
    return Graph(
        nodes,
        video_node=ids[SAVE_VIDEO],
        frames_node=None if request.output == "video" else frames_node,
        frame_quality=quality,
        smaller=_smaller_way(request) or f"a guess at what fits: {limits.suggest(form)}",
    )


def _smaller_way(request: Request) -> str:
    if PRESETS[request.preset].upscaled:
        return "use preset fast"
    return "leave upscale out" if request.upscale else ""


def _interpolate(nodes: dict[str, Any], cut: str, factor: int) -> None:
    """Draw frames between those that go to the node `cut`."""
    added = json.loads(_text(INTERPOLATION))
    (draw,) = (node_id for node_id, node in added.items() if title_of(node, node_id) == INTERPOLATE)
    images = nodes[cut]["inputs"]
    added[draw]["inputs"] |= {"images": images["image"], "multiplier": factor}
    images["image"] = [draw, 0]
    nodes |= added


def _inputs(request: Request, form: Form, image_name: str, prefix: str) -> dict[str, dict[str, Any]]:
    width, height = form.sampled
    return {
        LOAD_IMAGE: {"image": image_name},
        LOAD_MODEL: {"unet_name": PRESETS[request.preset].model},
        ENCODE_PROMPT: {"text": request.prompt},
        ENCODE_NEGATIVE_PROMPT: {"text": request.negative_prompt},
        CONDITION: {"width": width, "height": height, "length": form.length},
        SET_SHIFT: {"shift": request.shift},
        SET_GUIDANCE: {"cfg": request.cfg},
        SET_STEPS: {"steps": request.steps},
        MAKE_NOISE: {"noise_seed": request.seed},
        CUT_TO_LENGTH: {"length": request.num_frames},
        CREATE_VIDEO: {"fps": request.fps},
        SAVE_VIDEO: {"filename_prefix": f"{prefix}/clip"},
        SAVE_FRAMES: {"filename_prefix": f"{prefix}/frame"},
    }


def _upscale_inputs(request: Request, form: Form) -> dict[str, dict[str, Any]]:
    """A latent's sides are multiples of 16 pixels: 1080 lines are cut out of 1088."""
    sides = form.size
    whole = [-(-side // SIDE_STEP) * SIDE_STEP for side in sides]
    left, top = ((large - side) // 2 for large, side in zip(whole, sides, strict=True))
    upscale = UPSCALES[str(request.upscale)]
    return {
        LOAD_UPSAMPLER: {"model_name": upscale.upsampler},
        LOAD_SUPER_RESOLUTION: {"unet_name": upscale.model},
        SET_UPSCALE_STEPS: {"steps": upscale.steps},
        SPLIT_UPSCALE_STEPS: {"step": upscale.split},
        UPSCALE_LATENT: {"width": whole[0], "height": whole[1]},
        MAKE_UPSCALE_NOISE: {"noise_seed": request.seed},
        CUT_TO_SIZE: {"width": sides[0], "height": sides[1], "x": left, "y": top},
    }


def _save_as_sent(node: dict[str, Any], frame_format: str) -> int | None:
    """Have a SaveImage node write the first of the encodings that the answer tries; returns its quality."""
    encoding = LADDERS[frame_format][0]
    node["class_type"] = FRAME_SAVER
    node["inputs"] |= {"format": encoding.format.lower(), "quality": encoding.quality or 100}
    return encoding.quality


@functools.cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
