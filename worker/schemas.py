"""A job's input and answer as OpenAPI components, for whoever shows or checks them."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from worker.catalogue import PRESETS, UPSCALES, Preset
from worker.config import Settings
from worker.input.loras import Lora
from worker.input.pixels import MAX_ASPECT
from worker.input.request import DEFAULT_RESOLUTION, TRAINED_SIZES, Request

REF = "#/components/schemas/{model}"


class Part(BaseModel):
    """What every model below has: the fields named and no others."""

    model_config = ConfigDict(extra="forbid")


class S3Object(Part):
    """A file on the network volume, in RunPod's S3 API."""

    endpoint_url: str
    region: str
    bucket: str
    key: str


class File(Part):
    """One file of a clip."""

    type: Literal["video", "image", "file", "text"] = Field(
        description="`video` or `image`; with workflow also `file` (sound, latents) and `text`."
    )
    filename: str = Field(
        description="`clip.mp4`, `frame_0001.jpg` and so on; with workflow the name that its node gave it.",
        examples=["clip.mp4", "frame_0001.jpg"],
    )
    mime_type: str = Field(description="Such as `video/mp4`.", examples=["video/mp4", "image/jpeg"])
    quality: int | None = Field(None, description="Of a JPEG or lossy WebP that the worker encoded.")
    node_id: str | None = Field(None, description="The node that made it.")
    encoding: Literal["base64", "url", "volume", "video_url", "images", "text"] = Field(
        description="Where the data is: in `data` as base64 or as a URL, on the volume at `path`, in `video_url` as a "
        "data URI, or in `images` under the same filename; `text`: a text that a node shows, in `data` as it is."
    )
    data: str | None = Field(None, description="The file, or its URL.")
    path: str | None = Field(None, description="Where the file is on the network volume.")
    s3: S3Object | None = Field(None, description="The same in RunPod's S3 API: endpoint_url, region, bucket and key.")


class NamedImage(Part):
    """An image as worker-comfyui's clients expect it."""

    filename: str
    type: Literal["base64", "s3_url", "volume"]
    data: str


class Used(Part):
    """What the clip was made with: the preset's values, and those of the input that won over them."""

    preset: str = Field(description="The preset's name.")
    model: str = Field(description="The diffusion model's file.")
    steps: int
    cfg: float
    shift: float
    fit: str
    upscale: str | None
    interpolate: int | None
    attention: str = Field(description="cudnn, or comfyui: its own choice (ATTENTION).")
    options: list[str] = Field(description="What the endpoint changes in the graph (GRAPH_OPTIONS).")
    loras: list[Lora] = Field(description="The LoRAs that were applied, by their files' names.")
    prompt: str | None = Field(None, description="The text that was used where the input has no prompt.")
    understood: dict[str, str] = Field(
        description="By another worker's name that was sent (duration, guidance_scale, ...), what it was read as."
    )


class Answer(Part):
    """The output of a job that went well."""

    status: Literal["success"] = Field(description="A failed job has an error instead.")
    prompt_id: str = Field(description="ComfyUI's ID of the run.")
    seed: int | None = Field(
        None,
        description="The seed that was used. With workflow, this and the next five are omitted: the graph has them.",
    )
    width: int | None = Field(None, description="The clip's width in pixels.")
    height: int | None = Field(None, description="The clip's height in pixels.")
    num_frames: int | None = Field(None, description="Frames in the clip.")
    fps: float | None = Field(None, description="The video's frames per second.")
    settings: Used | None = Field(
        None,
        description="What the clip was made with: preset, model, steps, cfg, shift, fit, upscale, interpolate, "
        "attention, and as options what the endpoint changes in the graph (GRAPH_OPTIONS).",
    )
    outputs: list[File] = Field(description="The files: the video first, then the frames in order.")
    video_url: str | None = Field(
        None,
        description="The clip's video: its URL, or a data URI if the files are in the reply. Not with workflow.",
    )
    images: list[NamedImage] | None = Field(
        None, description="With workflow only: the images, as worker-comfyui names them."
    )
    timings: dict[str, float] = Field(
        description="Seconds for prepare, execution (ComfyUI), fetch, check (the video), deliver and total."
    )
    warnings: list[str] = Field(
        description="For example a large crop, a lower JPEG quality, or a video without its frames."
    )


class Progress(Part):
    """The output of a job that runs."""

    percent: float = Field(ge=0, lt=100, description="How much is done. It never decreases.")
    node: str = Field(description="The title of the running node.")
    step: int | None = Field(None, description="The node's current step, if it counts steps.")
    steps: int | None = Field(None, description="How many steps the node has.")
    images: list[NamedImage] | None = Field(None, description="With workflow: empty until the job ends.")
    eta_seconds: float | None = Field(None, description="Seconds left, from the second step on.")


class Failure(BaseModel):
    """The output of a job that failed, beside its error; the other details depend on the code."""

    model_config = ConfigDict(extra="allow")

    code: str = Field(
        description="One of the codes below.", examples=["invalid_input", "image_rejected", "out_of_memory"]
    )
    message: str = Field(description="The same text as the job's error, for clients that show only the output.")
    fields: dict[str, str] | None = Field(
        None, description="For invalid_input: each wrong field, and what is wrong with it."
    )
    field: str | None = Field(None, description="For image_rejected: the field with the image.")


def components(settings: Settings) -> dict[str, Any]:
    """Each model's schema by its name, and `Input` and `Output`, which refer to them.

    What no keyword of JSON Schema says and a form shows stands under `x-` names: a preset's values, the trained sizes
    as landscape, and how many times as long as the other an image's side may be.
    """
    models: list[Any] = [(model, "validation") for model in (Request, Answer, Progress, Failure)]
    schemas = dict(models_json_schema(models, ref_template=REF)[1]["$defs"])
    fields = schemas["Request"]["properties"]
    fields["num_frames"]["maximum"], fields["preset"]["default"] = settings.max_frames, settings.default_preset
    fields["image"]["x-max-aspect"] = MAX_ASPECT
    fields["preset"]["x-presets"] = {name: _preset(preset) for name, preset in PRESETS.items()}
    fields["resolution"]["x-sizes"] = TRAINED_SIZES
    outputs = [{"$ref": REF.format(model=model.__name__)} for model in (Answer, Progress, Failure)]
    return {**schemas, "Input": {"$ref": REF.format(model="Request")}, "Output": {"anyOf": outputs}}


def _preset(preset: Preset) -> dict[str, Any]:
    values = {"steps": preset.steps, "cfg": preset.cfg, "shift": preset.shift}
    upscale = {"to": preset.upscale, "steps": UPSCALES[preset.upscale].steps} if preset.upscaled else None
    return {**values, "resolution": preset.resolution or DEFAULT_RESOLUTION, "upscale": upscale}
