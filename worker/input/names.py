"""Other workers' and clients' names for the fields of a job's input: understood where they can mean one thing only.

Who sends what: RunPod's public video endpoints and the Vercel AI SDK (duration, size, aspect_ratio, guidance),
Tencent's demo (num_inference_steps, guidance_scale, flow_shift, video_length), workers of the Hub (length,
image_base64, image_path, lora_pairs).
"""

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.input import loras
from worker.input.faults import cut, show

SAME = {
    "num_inference_steps": "steps",
    "guidance_scale": "cfg",
    "guidance": "cfg",
    "flow_shift": "shift",
    "length": "num_frames",
    "video_length": "num_frames",
    "frame_rate": "fps",
    "image_base64": "image",
    "image_path": "image",
    "first_frame_image": "image",
    "files": "images",
    "input_images": "images",
}
"""Names that mean what one field means."""
REWRITTEN = ("duration", "size", "lora_pairs")
"""Names whose values are to be rewritten."""
NEAR_IN_MEANING = {
    "inference_steps": "steps",
    "sampling_steps": "steps",
    "num_steps": "steps",
    "cfg_scale": "cfg",
    "frames": "num_frames",
    "frame_count": "num_frames",
    "n_frames": "num_frames",
    "seconds": "duration",
    "negative": "negative_prompt",
    "text": "prompt",
    "text_prompt": "prompt",
    "positive": "prompt",
    "positive_prompt": "prompt",
    "caption": "prompt",
    "noise_seed": "seed",
    "img": "image",
    "picture": "image",
    "init_image": "image",
    "input_image": "image",
    "start_image": "image",
    "source_image": "image",
    "reference_image": "image",
    "first_frame": "image",
    "start_frame": "image",
    "image_data": "image",
    "image_b64": "image",
    "base64": "image",
    "photo": "image",
    "image_uri": "image_url",
    "url": "image_url",
    "format": "frame_format",
    "graph": "workflow",
    "lora": "loras",
}
"""Names that probably mean a field: a job with one is refused with that hint, as its clip might be another."""
NEAR_IN_SPELLING = 0.78  # of difflib's ratio: "promt" and "num_frame" are, "priority" and "sampler" are not
RANDOM = ("-1", "-1.0", "random", "randomize")
CHOICES = ("preset", "resolution", "fit", "upscale", "interpolate", "output", "frame_format", "delivery")
SAME_CHOICE = {
    "480": "480p",
    "720": "720p",
    "1080": "1080p",
    "jpg": "jpeg",
    "cover": "crop",
    "contain": "pad",
    "2": 2,
    "4": 4,
}
"""What a choice's value means that is written otherwise; letters may be upper case."""
NO_CHOICE = ("false", "none", "off", "no", "0", "1")
"""What stands for leaving out `upscale` or `interpolate`."""
MOST_NUMBER = 5000  # Python writes no number of thousands of digits
MOST_UNKNOWN = 50  # fields that are looked at one by one
SIZE = re.compile(r"\s*(\d{1,5})\s*[x*×]\s*(\d{1,5})\s*", re.IGNORECASE)  # noqa: RUF001  # people write the sign too
UNSHOWN = ("image", "image_url", "prompt", "negative_prompt", "loras")


@dataclass
class Understood:
    """A job's input by this worker's own names."""

    fields: dict[str, Any]
    became: dict[str, str] = field(default_factory=dict)
    """By the name that was sent, the field and the value that it became."""
    faults: dict[str, str] = field(default_factory=dict)


def translate(given: Mapping[str, Any], default_fps: float) -> Understood:
    """Give every field its own name; two names for one thing that disagree are a fault that names both."""
    result = Understood({name: value for name, value in given.items() if name not in (*SAME, *REWRITTEN)})
    for name, own in SAME.items():
        if given.get(name) is not None:
            _take(result, name, {own: given[name]})
    resolution = result.fields.get("resolution")
    if isinstance(resolution, str) and SIZE.fullmatch(resolution):
        del result.fields["resolution"]
        _take_size(result, "resolution", resolution)
    if given.get("size") is not None:
        _take_size(result, "size", given["size"])
    if given.get("duration") is not None:
        _take_duration(result, given["duration"], default_fps)
    if given.get("lora_pairs") is not None:
        _take_pairs(result, given["lora_pairs"])
    if _word(result.fields.get("seed")) in RANDOM:
        del result.fields["seed"]
        result.became["seed"] = "a random seed"
    _read_choices(result.fields)
    return result


def find_unknown(given: Collection[str], known: Collection[str]) -> tuple[dict[str, str], list[str]]:
    """Of the names that no field has: those that probably mean a field, with that hint, and the others."""
    hints: dict[str, str] = {}
    others: list[str] = []
    if len(given) > MOST_UNKNOWN:
        hints["input"] = f"has {len(given)} unknown fields"
    for name in sorted(map(str, given))[:MOST_UNKNOWN]:
        lowered = cut(name).lower()
        if near := NEAR_IN_MEANING.get(lowered):
            hints[cut(name)] = f"unknown field, did you mean {near}?"
        elif close := difflib.get_close_matches(lowered, known, cutoff=NEAR_IN_SPELLING):
            hints[cut(name)] = f"unknown field, did you mean {close[0]}?"
        else:
            others.append(cut(name))
    return hints, others


def _read_choices(fields: dict[str, Any]) -> None:
    """Put each field that is one of several choices, and one LoRA alone, as the field has it."""
    if isinstance(fields.get("loras"), (str, dict)):
        fields["loras"] = [fields["loras"]]
    for name in CHOICES:
        value, word = fields.get(name), _word(fields.get(name))
        if name in ("upscale", "interpolate") and word in NO_CHOICE:
            del fields[name]
        elif word:
            fields[name] = SAME_CHOICE.get(word, word if isinstance(value, str) else value)


def _word(value: object) -> str:
    """A text or a small number as a word in lower case; empty for any other value."""
    if isinstance(value, (int, float)) and abs(value) < MOST_NUMBER:
        return str(value).lower()
    return value.strip().lower() if isinstance(value, str) else ""


def _take(result: Understood, name: str, values: Mapping[str, Any]) -> None:
    for own, value in values.items():
        if own in result.fields and result.fields[own] is not None and result.fields[own] != value:
            result.faults[name] = f"conflicts with {own}, which it means here: send one of the two"
            continue
        result.fields[own] = value
    shown = " ".join(own if own in UNSHOWN else f"{own} {show(value).strip(chr(39))}" for own, value in values.items())
    result.became[name] = shown


def _take_size(result: Understood, name: str, value: object) -> None:
    found = SIZE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        result.faults[name] = f"must be WIDTHxHEIGHT in pixels, as in 1280x720, got {show(value)}"
        return
    _take(result, name, {"width": int(found[1]), "height": int(found[2])})


def _take_pairs(result: Understood, value: object) -> None:
    pairs = loras.read_pairs(value)
    if pairs.fault:
        result.faults["lora_pairs"] = pairs.fault
    else:
        _take(result, "lora_pairs", {"loras": pairs.loras})


def _take_duration(result: Understood, value: object, default_fps: float) -> None:
    """Seconds as frames: the model makes 4k + 1, so that 5 s at 24 frames per second are 121."""
    try:
        seconds, fps = float(str(value)), float(str(result.fields.get("fps") or default_fps))
    except ValueError:
        seconds = fps = -1.0
    if not 0 < seconds < float("inf") or isinstance(value, bool):
        result.faults["duration"] = f"must be a number of seconds above 0, got {show(value)}"
    elif 0 < fps < float("inf") and seconds * fps < 1e6:
        _take(result, "duration", {"num_frames": round(seconds * fps / 4) * 4 + 1})
    else:
        result.faults["duration"] = "is too long, or fps cannot be used"
