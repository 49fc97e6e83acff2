"""What tests of several kinds share: pictures, a job's input, its answer read, and waiting for something to happen."""

import base64
import io
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import av
from PIL import Image

from worker import config
from worker.config import Settings


class Engine(Protocol):
    """A ComfyUI, or what stands in for one."""

    url: str
    home: Path | None


def encode(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The picture as a file."""
    target = io.BytesIO()
    picture.save(target, kind, **options)
    return target.getvalue()


def gradient(width: int = 96, height: int = 64, kind: str = "PNG") -> str:
    """A color gradient, base64."""
    image = Image.linear_gradient("L").resize((width, height))
    colored = Image.merge("RGB", (image, image.transpose(Image.Transpose.ROTATE_180), image))
    return base64.b64encode(encode(colored, kind)).decode()


def small_job(**fields: Any) -> dict[str, Any]:
    """A job's input that runs in a moment; `fields` are added or replace it."""
    least = {
        "image": gradient(),
        "prompt": "it moves",
        "width": 96,
        "height": 64,
        "num_frames": 5,
        "steps": 2,
        "seed": 7,
    }
    return {**least, **fields}


def settings_for(engine: Engine, **changes: Any) -> Settings:
    """The worker's settings for this engine, `changes` applied."""
    environ = {"COMFYUI_URL": engine.url, "COMFYUI_DIR": str(engine.home or "")}
    return config.read(environ).model_copy(update=changes)


def color_at(picture: Image.Image, x: int, y: int) -> tuple[int, int, int]:
    """The pixel's red, green and blue, 0 to 255."""
    return picture.convert("RGB").getpixel((x, y))  # type: ignore[return-value]  # of an RGB picture


def told(answer: dict[str, Any], key: str) -> list[Any]:
    """What each entry of an answer's outputs says under `key`."""
    return [entry.get(key) for entry in answer["outputs"]]


def content(answer: dict[str, Any], number: int = 0) -> bytes:
    """The bytes of the file with that number, which are in the answer once."""
    entry = answer["outputs"][number]
    images = {image["filename"]: image["data"] for image in answer.get("images", ())}
    places = {"video_url": answer.get("video_url", "").partition(",")[2], "images": images.get(entry["filename"])}
    text = places.get(entry["encoding"], entry.get("data"))
    return base64.b64decode(text, validate=True)


def contents(answer: dict[str, Any], kind: str = "image") -> list[bytes]:
    """The bytes of each file of that type, in order."""
    return [content(answer, number) for number, entry in enumerate(answer["outputs"]) if entry["type"] == kind]


def count_frames(video: bytes | Path) -> int:
    """The frames of a video that decode."""
    with av.open(io.BytesIO(video) if isinstance(video, bytes) else str(video)) as container:
        return sum(1 for _ in container.decode(video=0))


def left_behind(home: Path | None) -> list[Path]:
    """Whatever is in ComfyUI's folders."""
    assert home
    return [path for folder in ("input", "output", "temp") for path in (home / folder).rglob("*")]


def find_free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], object], seconds: float = 30) -> bool:
    """Return once the condition holds; fails the test where it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return True
