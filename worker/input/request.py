"""A job's input: its fields, their defaults and their limits."""

import functools
import math
import re
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING, Any, Literal

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from worker.catalogue import PRESETS, UPSCALES
from worker.config import Settings
from worker.input import faults, names, wrapping
from worker.input.loras import MAX_LORAS, MAX_STRENGTH, Lora

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
IMAGES = ("image", "image_url", *(name for name, own in names.SAME.items() if own == "image"))
NUMBERS = ("seed", "num_frames", "fps", "steps", "cfg", "shift", "width", "height")
DEFAULT_GRAPH_ONLY = (
    *("preset", "prompt", "negative_prompt", *NUMBERS, "resolution", "aspect_ratio", "fit", "upscale"),
    *("interpolate", "output"),
    *(name for name, own in names.SAME.items() if own not in ("image", "images")),
    *("loras", *names.REWRITTEN),
)
DEFAULT_PROMPT = "smooth, natural motion, high quality"
DEFAULT_RESOLUTION: Literal["720p"] = "720p"
UPSCALE_BY = 3 / 2  # 1280x720 becomes 1920x1080
LARGER = dict(zip(TRAINED_SIZES["480p"], TRAINED_SIZES["720p"], strict=False))
"""The trained size of 720p that has the shape of one of 480p."""

# What a text or a list must be. Such values are long or private: no message repeats them.
RULES = {
    "image": "base64 text, a data URI or a URL",
    "image_url": "an http:// or https:// URL",
    "prompt": f"non-blank text of at most {MAX_PROMPT} characters",
    "negative_prompt": f"text of at most {MAX_PROMPT} characters",
    "aspect_ratio": "two whole numbers, as in 16:9",
    "comfy_org_api_key": "text",
    "loras": f'a list of at most {MAX_LORAS} objects {{"name", "strength"}}',
    "loras.name": "a file name of models/loras",
    "loras.strength": f"a number from {-MAX_STRENGTH} to {MAX_STRENGTH}",
    "workflow": "an object of nodes: a graph in API format",
    "images": f'a list of at most {MAX_IMAGES} objects {{"name", "image"}} with different names',
    "images.name": "a file name of at most 255 characters without leading /, .. or backslash",
    "images.image": "base64 text or a data URI",
}


def leaves_folder(path: str) -> bool:
    """Whether `path`, as Linux or Windows reads it, is absolute or climbs with .., or can be neither's."""
    parsed = PureWindowsPath(path)
    return bool(parsed.anchor) or ".." in parsed.parts or "\0" in path or "\\" in path


class InputImage(BaseModel):
    """An image, video or sound for the node that names it, as worker-comfyui's clients send images."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(
        validation_alias=AliasChoices("name", "filename", "file_name"),
        min_length=1,
        max_length=255,
        description="The file name in the workflow's node.",
    )
    image: str = Field(
        validation_alias=AliasChoices("image", "data", "url", "file", "base64", "image_base64", "image_url", "content"),
        pattern=r"\S",
        repr=False,
        description="The file: base64, a data URI or a URL.",
    )

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
        pattern=r"^\s*[hH][tT][tT][pP][sS]?://\S+\s*$",
        repr=False,
        description="The image's public address, instead of image.",
    )
    prompt: str = Field(
        DEFAULT_PROMPT,
        pattern=r"\S",
        max_length=MAX_PROMPT,
        repr=False,
        description="What happens in the clip.",
    )
    preset: PresetName = Field(
        "balanced",
        description="Sets the model, and steps and size unless you give them. balanced: the 720p model, 20 steps. "
        "fast: the step-distilled 480p model, 12 steps. fast_720p: the same, upscaled to 720p. quality: the 720p "
        "model, 50 steps.",
    )
    negative_prompt: str = Field(
        "",
        max_length=MAX_PROMPT,
        repr=False,
        description="What to keep out of the clip. It has no effect at cfg 1.",
    )
    seed: int = Field(
        # 53 bits: a JavaScript client reads the answer's seed without loss.
        default_factory=lambda: secrets.randbits(53),
        ge=0,
        le=MAX_SEED,
        description="The same seed and input give the same clip. Random if omitted; the answer reports it.",
    )
    num_frames: int = Field(
        25, ge=1, description="Frames in the clip: you get exactly this many. At most the worker's MAX_FRAMES (129)."
    )
    fps: float = Field(24.0, ge=1, le=120, allow_inf_nan=False, description="The video's frames per second.")
    steps: int = Field(20, ge=1, le=100, description="Sampling steps: time grows with them. fast 12, quality 50.")
    cfg: float = Field(
        1.0, ge=0, le=30, allow_inf_nan=False, description="Guidance: 1 for a distilled model, otherwise 6."
    )
    shift: float = Field(7.0, ge=0, le=100, allow_inf_nan=False, description="Noise shift: 7 for 720p, 5 for 480p.")
    width: int | None = Field(
        None,
        ge=64,
        le=2048,
        multiple_of=SIDE_STEP,
        description="The clip's width in pixels. If height is omitted, it follows from the image's shape.",
    )
    height: int | None = Field(
        None,
        ge=64,
        le=2048,
        multiple_of=SIDE_STEP,
        description="The clip's height in pixels. If width is omitted, it follows from the image's shape.",
    )
    resolution: Literal["480p", "720p"] | None = Field(
        None,
        description="Without width and height: the trained size nearest to the image's shape is used. By default "
        "720p, with preset fast 480p.",
    )
    aspect_ratio: str | None = Field(
        None,
        pattern=r"^\s*[1-9]\d{0,3}\s*[:/xX]\s*[1-9]\d{0,3}\s*$",
        description="The shape to choose that size by, such as 16:9.",
    )
    fit: Literal["crop", "pad"] = Field(
        "crop", description="Whether an image of another shape is cropped, or padded with black bars."
    )
    upscale: Literal["720p", "1080p"] | None = Field(
        None,
        description="Another model makes the clip 1.5 times as large. 720p: with fast, 848x480 becomes 1280x720. "
        "1080p: with balanced and quality, 1280x720 becomes 1920x1080.",
    )
    interpolate: Literal[2, 4] | None = Field(
        None,
        description="Only every 2nd or 4th frame is sampled, and another model draws those between. num_frames and fps "
        "stay those of the clip: the motion is slower unless you raise fps as well.",
    )
    loras: tuple[Lora, ...] = Field(
        (),
        max_length=MAX_LORAS,
        description="LoRAs of the endpoint, each applied to every diffusion model of the clip. A name alone is enough.",
    )
    output: Literal["both", "frames", "video"] = Field(
        "both", description="Whether the answer has frames, the video, or both."
    )
    frame_format: Literal["auto", "png", "jpeg", "webp"] = Field(
        "auto", description="The frames' format. auto is JPEG, at the best quality that fits the reply."
    )
    delivery: Literal["auto", "inline", "bucket", "volume"] = Field(
        "auto",
        description="Where the files go: into the reply (inline), to a bucket, or to the network volume. auto: to the "
        "bucket if the job or the endpoint has one, otherwise into the reply.",
    )
    workflow: dict[str, Any] | None = Field(
        None, repr=False, description="Your own workflow in ComfyUI's API format, run instead of the default one."
    )
    comfy_org_api_key: str | None = Field(
        None,
        pattern=r"^\S+$",
        max_length=1000,
        repr=False,
        description="Your key for ComfyUI's API nodes, if the endpoint allows them.",
    )
    images: tuple[InputImage, ...] = Field(
        (),
        max_length=MAX_IMAGES,
        repr=False,
        description="Files for the workflow's LoadImage, LoadVideo and LoadAudio nodes, by name.",
    )

    _warnings: tuple[str, ...] = PrivateAttr(())
    _became: Mapping[str, str] = PrivateAttr(default_factory=dict)

    def model_post_init(self, context: Any) -> None:
        """Keep what `parse` found out about the names that were sent."""
        if context:
            self._warnings, self._became = context["warnings"], context["became"]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to tell the caller about the input."""
        return self._warnings

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
        sent_as = next((sent for sent, own in self._became.items() if own == "image"), "image")
        fields = {sent_as: self.image, "image_url": self.image_url}
        return next(((name, value) for name, value in fields.items() if value is not None), None)

    @property
    def pictures(self) -> list[tuple[str, str]]:
        """Every picture as (field's name, value): the start picture, if there is one, then those of images."""
        named = [(f"images[{number}].image", entry.image) for number, entry in enumerate(self.images)]
        return ([self.picture] if self.picture else []) + named

    def form(self, image_width: int, image_height: int) -> "Form":
        """The clip's form for an image of this size in pixels."""
        width, height = self._sampled_size(image_width, image_height)
        sampled = -(-(self.num_frames - 1) // (self.interpolate or 1)) + 1
        return Form(
            sampled=(width, height),
            size=self._upscaled(width, height),
            num_frames=self.num_frames,
            length=(sampled + 2) // 4 * 4 + 1,
            warnings=self._crop_warnings(image_width, image_height, width, height),
        )

    def _upscaled(self, width: int, height: int) -> tuple[int, int]:
        if not self.upscale:
            return width, height
        trained = LARGER.get((max(width, height), min(width, height)))
        if self.upscale == "720p" and trained:
            return trained if width >= height else trained[::-1]
        return int(width * UPSCALE_BY), int(height * UPSCALE_BY)

    def _sampled_size(self, image_width: int, image_height: int) -> tuple[int, int]:
        if self.width and self.height:
            return self.width, self.height
        if self.width or self.height:
            return self.width or _side(self.height, image_width / image_height), self.height or _side(
                self.width, image_height / image_width
            )
        if self.aspect_ratio:
            image_width, image_height = map(int, re.split("[:/xX]", self.aspect_ratio))
        sizes = [size for wide in TRAINED_SIZES[self.resolution or DEFAULT_RESOLUTION] for size in (wide, wide[::-1])]
        return min(sizes, key=lambda size: abs(math.log(size[0] * image_height / (size[1] * image_width))))

    def facts(
        self, form: "Form", options: Collection[str] = (), loras: Sequence[Lora] = (), attention: str = "comfyui"
    ) -> dict[str, Any]:
        """What the answer tells of the clip, and what it is made with; `options`: the graph's (GRAPH_OPTIONS)."""
        width, height = form.size
        fields = ("preset", "steps", "cfg", "shift", "fit", "upscale", "interpolate")
        used = {name: getattr(self, name) for name in fields}
        used |= {"model": PRESETS[self.preset].model, "options": list(options), "attention": attention}
        used |= {"loras": [lora.model_dump() for lora in loras], "understood": dict(self._became)}
        if "prompt" not in self.model_fields_set:
            used["prompt"] = self.prompt
        size = {"width": width, "height": height, "num_frames": self.num_frames, "fps": self.fps}
        return {"seed": self.seed, **size, "settings": used}

    def _crop_warnings(self, image_width: int, image_height: int, width: int, height: int) -> tuple[str, ...]:
        """What to tell the caller when the center crop to the clip's aspect loses much of the picture."""
        ratio = image_width * height / (image_height * width)
        lost = 1 - min(ratio, 1 / ratio)
        if self.fit == "pad" or lost <= ACCEPTABLE_CROP:
            return ()
        ways = ['"fit": "pad" keeps all of it']
        if self.width or self.height or self.aspect_ratio:
            ways.insert(0, "without width, height and aspect_ratio the size that keeps most of it is used")
        return (
            f"the image is {image_width}x{image_height} and the clip {width}x{height}: "
            f"the center crop removes {lost:.0%} of the image; {', '.join(ways)}",
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
    """The 4k + 1 frames to sample: the model delivers 4 * ((length - 1) // 4) + 1. At least num_frames, or with
    `interpolate` as many as give so many."""
    warnings: tuple[str, ...] = ()


def _side(other: int | None, ratio: float) -> int:
    """The side that goes with the other one, as the image's shape has it, in steps that the model takes."""
    side = round((other or 0) * ratio / SIDE_STEP) * SIDE_STEP
    return min(max(side, 64), 2048)


def parse(job_input: object, settings: Settings) -> Request:
    """The job's input as a Request; raises InvalidInput naming every fault, whatever the input is."""
    sent = wrapping.name_workflow(wrapping.read_object(job_input))
    # Many clients send null for a field that is not given, and forms an empty text for an image.
    given = {name: value for name, value in sent.items() if value is not None and (value != "" or name not in IMAGES)}
    warnings = []
    own = DEFAULT_GRAPH_ONLY if "workflow" in given else ()
    if ignored := [name for name in own if given.pop(name, None) is not None]:
        warnings.append(f"{', '.join(ignored)}: no effect with workflow: set these values in the workflow's nodes")
    understood = names.translate(given, Request.model_fields["fps"].default)
    fields = understood.fields if "workflow" in given else _with_preset(understood.fields, settings.default_preset)
    hints, unknown = names.find_unknown(fields.keys() - Request.model_fields.keys(), Request.model_fields.keys())
    found = _find_faults(fields) | understood.faults | hints
    if "comfy_org_api_key" in fields and not settings.api_nodes:
        found["comfy_org_api_key"] = "cannot be used: this endpoint runs no API nodes (its operator sets API_NODES=1)"
    fields = {name: value for name, value in fields.items() if name in Request.model_fields}
    fields.setdefault("num_frames", min(Request.model_fields["num_frames"].default, settings.max_frames))
    warnings += [f"{', '.join(unknown)}: unknown, so ignored"] if unknown else []
    context = {"max_frames": settings.max_frames, "warnings": tuple(warnings), "became": understood.became}
    try:
        request = Request.model_validate(fields, context=context)
    except ValidationError as error:
        found = faults.of_fields(error, _schemas(settings.max_frames), RULES) | found
    if found:
        # The cause's text repeats the caller's values: it must not reach a log.
        raise faults.invalid_input(found | dict.fromkeys(unknown, "unknown field")) from None
    return request


@functools.cache
def _schemas(max_frames: int) -> dict[str, Any]:
    schemas: dict[str, Any] = Request.model_json_schema()["properties"]
    schemas["num_frames"]["maximum"] = max_frames
    return schemas


def _with_preset(given: dict[str, Any], default: str) -> dict[str, Any]:
    given = {"preset": default, **given}
    preset = PRESETS.get(given["preset"]) if isinstance(given["preset"], str) else None
    return preset.complete(given) if preset else given


def _find_faults(given: dict[str, Any]) -> dict[str, str]:
    """Fields that do not go together, or are missing."""
    found = _find_image_faults(given)
    if "workflow" in given:
        return found
    if "images" in given:
        found["images"] = "only works with workflow: send the start image as image"
    sides = [name for name in ("width", "height") if name in given]
    for name in ("resolution", "aspect_ratio"):
        if name in given and sides:
            found[name] = f"cannot be combined with {' or '.join(sides)}"
    preset, upscale = given["preset"], given.get("upscale")
    known = isinstance(preset, str) and preset in PRESETS and isinstance(upscale, str) and upscale in UPSCALES
    if known and PRESETS[preset].upscale != upscale:
        fitting = [name for name, one in PRESETS.items() if one.upscale == upscale]
        found["upscale"] = f"{upscale} only works with preset {' or '.join(fitting)}: use one of them, or omit upscale"
    return found


def _find_image_faults(given: dict[str, Any]) -> dict[str, str]:
    address = given.get("image_url")
    if "image" in given and address is not None:
        return {"image_url": "cannot be combined with image: send one of the two"}
    if isinstance(address, str) and len(address.split()) > 1:
        return {"image_url": "contains a space: write it as %20"}
    missing = "image" not in given and address is None and "workflow" not in given
    return {"image": "is required (or image_url)"} if missing else {}
