"""The node's encoder: the pixels and files that SaveImage and the worker make, one frame for each thread in memory."""

import io
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from comfyui_nodes import NODE_CLASS_MAPPINGS
from comfyui_nodes.frames import MAX_THREADS, SUFFIXES, to_bytes, write, write_all
from comfyui_nodes.save_frames import SaveFrames
from worker.graph import FRAME_SAVER
from worker.stills import LADDERS, encode

Frame = NDArray[np.float32]


def noise(height: int = 70, width: int = 40, channels: int = 3) -> Frame:
    """A frame with values below 0 and above 1 too."""
    return np.random.default_rng(0).uniform(-0.2, 1.2, (height, width, channels)).astype(np.float32)


def saved(frame: Frame, path: Path, quality: int = 95) -> bytes:
    write(frame, path, quality)
    return path.read_bytes()


@pytest.mark.parametrize("height", [1, 63, 64, 65, 200])
def test_pixels_are_those_that_save_image_writes(height: int) -> None:
    frame = noise(height)
    assert np.array_equal(to_bytes(frame), np.clip(255.0 * frame, 0, 255).astype(np.uint8))


def test_png_keeps_every_pixel_and_alpha(tmp_path: Path) -> None:
    frame = noise(channels=4)
    write(frame, tmp_path / "a.png", 95)
    with Image.open(tmp_path / "a.png") as picture:
        assert (picture.mode, picture.info) == ("RGBA", {})
        assert np.array_equal(np.asarray(picture), to_bytes(frame))


@pytest.mark.parametrize("frame_format", ["jpeg", "webp"])
def test_a_lossy_file_is_byte_for_byte_the_workers(tmp_path: Path, frame_format: str) -> None:
    encoding = LADDERS[frame_format][0]
    assert encoding.suffix == SUFFIXES[frame_format]
    png = saved(noise(), tmp_path / "a.png")
    mine = saved(noise(), tmp_path / f"a{encoding.suffix}", encoding.quality or 0)
    assert encode(png, [encoding]) == [mine]


def test_transparency_is_laid_on_white_in_jpeg_as_the_worker_lays_it(tmp_path: Path) -> None:
    clear = np.zeros((16, 16, 4), np.float32)
    with Image.open(io.BytesIO(saved(clear, tmp_path / "a.jpg"))) as picture:
        assert picture.getpixel((8, 8)) == (255, 255, 255)


def test_frames_are_written_in_order_and_only_one_for_each_thread_is_held(tmp_path: Path) -> None:
    alive: list[weakref.ref[Frame]] = []
    most = 0

    def load(index: int) -> Frame:
        nonlocal most
        frame = np.full((256, 256, 3), index / 255, np.float32)
        alive.append(weakref.ref(frame))
        most = max(most, sum(ref() is not None for ref in list(alive)))
        return frame

    paths = [tmp_path / f"{index}.png" for index in range(100)]
    assert len(list(write_all(load, paths, 95))) == 100
    assert most <= MAX_THREADS
    for index, path in enumerate(paths):
        with Image.open(path) as picture:
            assert abs(picture.tobytes()[0] - index) <= 1


def test_closing_early_drops_the_frames_not_begun(tmp_path: Path) -> None:
    paths = [tmp_path / f"{index}.png" for index in range(1000)]
    written = write_all(lambda _: noise(256, 256), paths, 95)
    next(written)
    written.close()
    left = list(tmp_path.iterdir())
    assert 1 <= len(left) < 500
    for path in left:
        with Image.open(path) as picture:
            picture.load()


def test_a_disk_that_refuses_is_told(tmp_path: Path) -> None:
    paths = [tmp_path / "no folder" / f"{index}.jpg" for index in range(50)]
    with pytest.raises(FileNotFoundError):
        list(write_all(lambda _: noise(), paths, 95))


def test_the_node_is_the_one_the_worker_looks_for_and_offers_its_formats() -> None:
    inputs: dict[str, Any] = SaveFrames.INPUT_TYPES()["required"]
    assert NODE_CLASS_MAPPINGS[FRAME_SAVER] is SaveFrames
    assert {encodings[0].format.lower() for encodings in LADDERS.values() if encodings[0].format} <= set(
        inputs["format"][0]
    )
    assert inputs["quality"][1]["default"] == LADDERS["auto"][0].quality
