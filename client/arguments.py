"""Command-line options of a job, and the job input they make."""

import argparse
import base64
from pathlib import Path
from typing import Any, NoReturn

from client.errors import RunError

ROOT = Path(__file__).resolve().parents[1]
SAMPLE_IMAGE = ROOT / "examples" / "rocket.jpg"
SAMPLE_PROMPT = "the rocket lifts off, smoke billowing over the water"
FIELDS = (
    "preset",
    "prompt",
    "negative_prompt",
    "num_frames",
    "steps",
    "seed",
    "fps",
    "width",
    "height",
    "resolution",
    "fit",
    "upscale",
    "interpolate",
    "loras",
    "output",
    "frame_format",
)


class Parser(argparse.ArgumentParser):
    """An argument parser that fails as the programs do: exit code 1 and one line."""

    def error(self, message: str) -> NoReturn:
        """Leave with `message`."""
        self.exit(1, f"{self.prog}: {message}; see --help\n")


def add_job_options(parser: argparse.ArgumentParser) -> None:
    """Add what describes one job; an option that is not given leaves the choice to the worker."""
    add = parser.add_argument_group("job (anything omitted has the worker's default)").add_argument
    add("--image", metavar="FILE|URL", help=f"start image; default: {SAMPLE_IMAGE.relative_to(ROOT)} and its prompt")
    add("--prompt", metavar="TEXT", help="what happens in the clip")
    add("--negative-prompt", metavar="TEXT", help="what to keep out of the clip")
    add(
        "--preset",
        choices=("balanced", "fast", "fast_720p", "quality"),
        help="sets the model, and steps and size if omitted",
    )
    add("--frames", dest="num_frames", type=int, metavar="N", help="length of the clip in frames")
    add("--steps", type=int, metavar="N", help="sampling steps")
    add("--seed", type=int, metavar="N", help="the same seed gives the same clip")
    add("--fps", type=_number, metavar="N", help="frames per second of the video")
    add("--width", type=int, metavar="PX", help="a multiple of 16")
    add("--height", type=int, metavar="PX", help="a multiple of 16")
    add("--resolution", choices=("480p", "720p"), help="the trained size nearest the image's shape")
    add("--fit", choices=("crop", "pad"), help="crop an image of another shape, or pad it")
    add("--upscale", choices=("720p", "1080p"), help="make the clip 1.5 times as large")
    add("--interpolate", type=int, choices=(2, 4), help="sample every 2nd or 4th frame, and draw those between")
    add("--lora", dest="loras", type=_lora, action="append", metavar="NAME[:STRENGTH]", help="can be repeated")
    add("--output", choices=("both", "frames", "video"), help="what comes back")
    add("--frame-format", choices=("auto", "png", "jpeg", "webp"), help="file format of the frames")
    add("--out", type=Path, default=Path("outputs"), metavar="DIR", help="parent of the job's folder; default: outputs")


def read_job_input(options: argparse.Namespace) -> dict[str, Any]:
    """The job's `input`: the image, and the fields that were given."""
    given = {name: value for name in FIELDS if (value := getattr(options, name)) is not None}
    if options.image is None:
        return {"image": _encode_file(SAMPLE_IMAGE), "prompt": SAMPLE_PROMPT, **given}
    if options.image.startswith(("http://", "https://")):
        return {"image_url": options.image, **given}
    return {"image": _encode_file(Path(options.image)), **given}


def _encode_file(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RunError(f"--image {path}: {error.strerror}; name a readable JPEG, PNG or WebP file") from error
    if not data:
        raise RunError(f"--image {path}: the file is empty; name a readable JPEG, PNG or WebP file")
    return base64.b64encode(data).decode()


def _lora(text: str) -> dict[str, Any]:
    name, colon, strength = text.rpartition(":")
    return {"name": name, "strength": _number(strength)} if colon else {"name": text}


def _number(text: str) -> int | float:
    value = float(text)
    return int(value) if value.is_integer() else value
