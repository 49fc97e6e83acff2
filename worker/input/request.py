"""A job's input: its fields, their defaults and their limits."""

import functools
import math
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from worker.catalogue import PRESETS
from worker.config import Settings
from worker.errors import InvalidInput
from worker.input import faults

if TYPE_CHECKING:
    PresetName = str
else:
    PresetName = Literal[tuple(PRESETS)]

MAX_PROMPT = 10_000
MAX_IMAGES = 100
MAX_SEED = 2**64 - 1
SIDE_STEP = 16
ACCEPTABLE_CROP = 1 / 3

# The sizes HunyuanVideo 1.5 was trained on, as landscape; each is used upright as well.
# https://github.com/Tencent-Hunyuan/HunyuanVideo-1.5
TRAINED_SIZES = {
    "480p": ((848, 480), (720, 544), (768, 512), (640, 640)),
    "720p": ((1280, 720), (1104, 832), (1168, 784), (960, 960), (1456, 624)),
}
NUMBERS = ("seed", "num_frames", "fps", "steps", "cfg", "shift", "width", "height")
DEFAULT_GRAPH_ONLY = ("preset", "prompt", "negative_prompt", *NUMBERS, "resolution", "fit", "upscale", "output")
UPSCALE_BY = 3 / 2  # 1280x720 becomes 1920x1080
CAN_UPSCALE = tuple(name for name, preset in PRESETS.items() if preset.upscale)

# What a text or a list must be. Such values are long or private: no message repeats them.
RULES = {
    "image": "base64 text, a data URI or a URL",
    "image_url": "an http:// or https:// URL",
    "prompt": f"non-blank text of at most {MAX_PROMPT} characters",
    "negative_prompt": f"text of at most {MAX_PROMPT} characters",
    "workflow": "an object of nodes: a graph in API format, not its text",
    "images": f'a list of at most {MAX_IMAGES} objects {{"name", "image"}} with different names',
    "images.name": "a file name of at most 255 characters without leading /, .. or backslash",
    "images.image": "base64 text or a data URI",
}


def leaves_folder(path: str) -> bool:
    """Whether `path`, as Linux or Windows reads it, is absolute or climbs with .., or can be neither's."""
    parsed = PureWindowsPath(path)
    return bool(parsed.anchor) or ".." in parsed.parts or "\0" in path or "\\" in path


class InputImage(BaseModel):
    """A picture for the LoadImage node that names it, as worker-comfyui's clients send it."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(min_length=1, max_length=255, description="The file name in the workflow's node.")
    image: str = Field(pattern=r"\S", repr=False, description="The picture: base64 or a data URI.")

    @field_validator("name")
    @classmethod
    def _stays_inside(cls, name: str) -> str:
        if leaves_folder(name):
            raise ValueError("leaves the input folder")
        return name


class Request(BaseModel):
    """One job's input, checked. Sizes in pixels."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: str | None = Field(
        None,
        pattern=r"\S",
        repr=False,
        description="The image that the clip starts from. Required (or image_url), except with workflow.",
    )
    image_url: str | None = Field(
        None,
        pattern=r"^[hH][tT][tT][pP][sS]?://\S+$",
        repr=False,
        description="The image's public address, instead of image.",
    )
    prompt: str = Field(
        "",
        pattern=r"\S",
        max_length=MAX_PROMPT,
        repr=False,
        description="What happens in the clip. Required, except with workflow.",
    )
    preset: PresetName = Field(
        "balanced",
        description="Model, steps and size of what is left out below. balanced: the 720p model, 20 steps. fast: the "
        "480p model of few steps, 12 of them, at 480p. quality: the 720p model, 50 steps.",
    )
    negative_prompt: str = Field(
        "",
        max_length=MAX_PROMPT,
        repr=False,
        description="What to keep out of the clip. It has an effect only where cfg is not 1.",
    )
    seed: int = Field(
        # 53 bits: a JavaScript client reads the answer's seed without loss.
        default_factory=lambda: secrets.randbits(53),
        ge=0,
        le=MAX_SEED,
        description="The same seed and input give the same clip. Random when absent; the answer tells it.",
    )
    num_frames: int = Field(
        25, ge=1, description="Frames in the clip: exactly so many come back. At most the worker's MAX_FRAMES (129)."
    )
    fps: float = Field(24.0, ge=1, le=120, allow_inf_nan=False, description="The video's frames per second.")
    steps: int = Field(20, ge=1, le=100, description="Sampling steps: time grows with them. fast 12, quality 50.")
    cfg: float = Field(1.0, ge=0, le=30, allow_inf_nan=False, description="Guidance: 1 for a distilled model, else 6.")
    shift: float = Field(7.0, ge=0, le=100, allow_inf_nan=False, description="Noise shift: 7 for 720p, 5 for 480p.")
    width: int = Field(720, ge=64, le=2048, multiple_of=SIDE_STEP, description="The clip's width in pixels.")
    height: int = Field(1280, ge=64, le=2048, multiple_of=SIDE_STEP, description="The clip's height in pixels.")
    resolution: Literal["480p", "720p"] | None = Field(
        None, description="Instead of width and height: the trained size nearest to the image's shape."
    )
    fit: Literal["crop", "pad"] = Field(
        "crop", description="An image of another shape than the clip is cropped, or padded with black bars."
    )
    upscale: Literal["1080p"] | None = Field(
        None, description="Another model makes the clip 1.5 times as large: 1280x720 becomes 1920x1080. Not with fast."
    )
    output: Literal["both", "frames", "video"] = Field("both", description="What the answer holds.")
    frame_format: Literal["auto", "png", "jpeg", "webp"] = Field(
        "auto", description="The frames' format. auto is JPEG, as good as the reply's limit allows."
    )
    delivery: Literal["auto", "inline", "bucket", "volume"] = Field(
        "auto",
        description="Where the files go: into the reply (inline), by URL from a bucket, or on the network volume. "
        "auto: the bucket, if the job or the endpoint has one, else the reply.",
    )
    workflow: dict[str, Any] | None = Field(
        None, repr=False, description="Your own graph in ComfyUI's API format, run instead of the default one."
    )
    images: tuple[InputImage, ...] = Field(
        (), max_length=MAX_IMAGES, repr=False, description="Images for the workflow's LoadImage nodes, by name."
    )

    @field_validator(*NUMBERS, mode="before")
    @classmethod
    def _is_no_boolean(cls, value: object) -> object:
        if isinstance(value, bool):
            raise ValueError("a boolean is no number")  # noqa: TRY004 - pydantic collects ValueError only
        return value

    @field_validator("num_frames")
    @classmethod
    def _is_within_setting(cls, frames: int, info: ValidationInfo) -> int:
        if info.context and frames > info.context["max_frames"]:
            raise ValueError("above MAX_FRAMES")
        return frames

    @field_validator("images")
    @classmethod
    def _has_no_namesakes(cls, images: tuple[InputImage, ...]) -> tuple[InputImage, ...]:
        if len({image.name for image in images}) < len(images):
            raise ValueError("two images share a name")
        return images

    @property
    def picture(self) -> tuple[str, str] | None:
        """The start picture as (field's name, value); None: a workflow without one."""
        fields = {"image": self.image, "image_url": self.image_url}
        return next(((name, value) for name, value in fields.items() if value is not None), None)

    @property
    def pictures(self) -> list[tuple[str, str]]:
        """Every picture as (field's name, value): the start picture, if there is one, then those of images."""
        named = [(f"images[{number}].image", entry.image) for number, entry in enumerate(self.images)]
        return ([self.picture] if self.picture else []) + named

    def form(self, image_width: int, image_height: int) -> "Form":
        """The clip's form for an image of this size in pixels."""
        width, height = self.width, self.height
        if self.resolution:
            sizes = [size for wide in TRAINED_SIZES[self.resolution] for size in (wide, wide[::-1])]
            width, height = min(sizes, key=lambda size: abs(math.log(size[0] * image_height / (size[1] * image_width))))
        larger = UPSCALE_BY if self.upscale else 1
        return Form(
            sampled=(width, height),
            size=(int(width * larger), int(height * larger)),
            num_frames=self.num_frames,
            length=(self.num_frames + 2) // 4 * 4 + 1,
            warnings=self._crop_warnings(image_width, image_height, width, height),
        )

    def facts(self, form: "Form", options: Collection[str]) -> dict[str, Any]:
        """What the answer tells of the clip, and what it is made with; `options`: the graph's (GRAPH_OPTIONS)."""
        width, height = form.size
        fields = ("preset", "steps", "cfg", "shift", "fit", "upscale")
        used = {name: getattr(self, name) for name in fields}
        used |= {"model": PRESETS[self.preset].model, "options": list(options)}
        size = {"width": width, "height": height, "num_frames": self.num_frames, "fps": self.fps}
        return {"seed": self.seed, **size, "settings": used}

    def _crop_warnings(self, image_width: int, image_height: int, width: int, height: int) -> tuple[str, ...]:
        """What to tell the caller when the center crop to the clip's aspect loses much of the picture."""
        ratio = image_width * height / (image_height * width)
        lost = 1 - min(ratio, 1 / ratio)
        if self.fit == "pad" or lost <= ACCEPTABLE_CROP:
            return ()
        ways = ['"fit": "pad" keeps all of it']
        if not self.resolution:
            ways.insert(0, '"resolution" ("480p" or "720p") picks the size that keeps most of it')
        return (
            f"the picture is {image_width}x{image_height} and the clip {width}x{height}: "
            f"the centre crop loses {lost:.0%} of the picture; {', '.join(ways)}",
        )


@dataclass(frozen=True)
class Form:
    """A clip's size and length, settled. Sizes as (width, height) in pixels."""

    sampled: tuple[int, int]
    """What the model samples."""
    size: tuple[int, int]
    """The clip's: larger with upscale."""
    num_frames: int
    length: int
    """The 4k + 1 frames to ask the model for: at least num_frames, as it delivers 4 * ((length - 1) // 4) + 1."""
    warnings: tuple[str, ...] = ()


def parse(job_input: object, settings: Settings) -> Request:
    """The job's input as a Request; raises InvalidInput naming every fault, whatever the input is."""
    if not isinstance(job_input, dict):
        raise InvalidInput(f"input: must be an object with image and prompt, got {faults.kind(job_input)}")
    # Many clients send null for a field that is not given.
    given = {name: value for name, value in job_input.items() if value is not None or name not in Request.model_fields}
    if "workflow" in given:
        found = _workflow_faults(given)
    else:
        given = _with_preset(given, settings.default_preset)
        found = _own_graph_faults(given)
    if "num_frames" not in given:
        given["num_frames"] = min(Request.model_fields["num_frames"].default, settings.max_frames)
    try:
        request = Request.model_validate(given, context={"max_frames": settings.max_frames})
    except ValidationError as error:
        found = faults.of_fields(error, _schemas(settings.max_frames), RULES) | found
        # The cause's text repeats the caller's values: it must not reach a log.
        raise faults.invalid_input(found) from None
    if found:
        raise faults.invalid_input(found)
    return request


@functools.cache
def _schemas(max_frames: int) -> dict[str, Any]:
    schemas: dict[str, Any] = Request.model_json_schema()["properties"]
    schemas["num_frames"]["maximum"] = max_frames
    return schemas


def _workflow_faults(given: dict[str, Any]) -> dict[str, str]:
    names = [name for name in DEFAULT_GRAPH_ONLY if name in given]
    return dict.fromkeys(names, "has no effect with workflow: set it in the workflow's nodes") | _picture_faults(given)


def _with_preset(given: dict[str, Any], default: str) -> dict[str, Any]:
    given = {"preset": default, **given}
    preset = PRESETS.get(given["preset"]) if isinstance(given["preset"], str) else None
    return preset.complete(given) if preset else given


def _own_graph_faults(given: dict[str, Any]) -> dict[str, str]:
    found = _picture_faults(given)
    if "image" not in given and "image_url" not in given:
        found["image"] = "is required (or image_url)"
    if "prompt" not in given:
        found["prompt"] = "is required"
    if "images" in given:
        found["images"] = "is for workflow only: send the start picture as image"
    if "resolution" in given and ("width" in given or "height" in given):
        found["resolution"] = "picks width and height: give it, or give them"
    if "upscale" in given and given["preset"] not in CAN_UPSCALE:
        found["upscale"] = f"goes on from 720p: take preset {' or '.join(CAN_UPSCALE)}, or leave upscale out"
    return found


def _picture_faults(given: dict[str, Any]) -> dict[str, str]:
    return {"image_url": "is given beside image: leave one out"} if {"image", "image_url"} <= given.keys() else {}
