"""A caller's video or sound for a workflow: taken whole, within its limits, and refused with the reason."""

import base64
import io

import av
import numpy as np
import pytest

from worker import config
from worker.errors import ImageRejected
from worker.input import image
from worker.input.media import find_suffix

SETTINGS = config.read({"MAX_MEDIA_SECONDS": "2"})


def film(seconds: float = 1, kind: str = "mp4") -> bytes:
    target = io.BytesIO()
    with av.open(target, "w", format=kind) as output:
        stream = output.add_stream("libx264" if kind != "webm" else "libvpx-vp9", rate=8)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(round(8 * seconds)):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number * 9 % 256, np.uint8), "rgb24")
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return target.getvalue()


def sound(seconds: float = 1, kind: str = "wav", codec: str = "pcm_s16le") -> bytes:
    target = io.BytesIO()
    with av.open(target, "w", format=kind) as output:
        stream = output.add_stream(codec, rate=48000, layout="mono")
        samples = np.zeros((1, round(48000 * seconds)), np.int16)
        frame = av.AudioFrame.from_ndarray(samples, "s16", "mono")
        frame.sample_rate = 48000
        output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return target.getvalue()


def load(data: bytes, as_sent: bool = True) -> image.Image:
    return image.load(base64.b64encode(data).decode(), "images[0].image", SETTINGS, as_sent=as_sent)


@pytest.mark.parametrize(
    ("data", "suffix", "size"),
    [
        (film(), ".mp4", (64, 48)),
        (film(kind="webm"), ".webm", (64, 48)),
        (film(kind="mov"), ".mov", (64, 48)),
        (sound(), ".wav", (0, 0)),
        (sound(kind="flac", codec="flac"), ".flac", (0, 0)),
    ],
    ids=["mp4", "webm", "mov", "wav", "flac"],
)
def test_a_video_or_sound_of_a_workflow_keeps_its_bytes(data: bytes, suffix: str, size: tuple[int, int]) -> None:
    taken = load(data)
    assert (taken.data, taken.suffix, (taken.width, taken.height)) == (data, suffix, size)


@pytest.mark.parametrize("data", [film(3), sound(3)], ids=["video", "sound"])
def test_one_that_is_too_long_is_refused_with_the_limit(data: bytes) -> None:
    with pytest.raises(ImageRejected, match=r"longer than 2 s \(MAX_MEDIA_SECONDS\)"):
        load(data)
    assert load(film(17 / 8)).suffix == ".mp4"  # its last frame is shown at 2 s


@pytest.mark.parametrize(
    "data", [film()[:-400], film()[:60], b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"], ids=["cut", "start", "empty"]
)
def test_one_that_is_cut_is_refused(data: bytes) -> None:
    with pytest.raises(ImageRejected, match="cut short or damaged"):
        load(data)


def test_a_video_with_too_many_pixels_is_refused_with_their_number() -> None:
    sent = base64.b64encode(film()).decode()
    whole = SETTINGS.model_copy(update={"max_image_pixels": 64 * 48})
    taken = image.load(sent, "image", whole, as_sent=True)
    assert (taken.width, taken.height) == (64, 48)
    settings = SETTINGS.model_copy(update={"max_image_pixels": 64 * 48 - 1})
    with pytest.raises(ImageRejected, match="is 64x48 pixels"):
        image.load(sent, "image", settings, as_sent=True)


def test_a_picture_may_not_be_as_large_as_a_video() -> None:
    settings = SETTINGS.model_copy(update={"max_image_bytes": 99})
    picture = base64.b64encode(b"\x89PNG" + bytes(96)).decode()
    with pytest.raises(ImageRejected, match=r"has 100 bytes .* at most 99 .*MAX_IMAGE_MB"):
        image.load(picture, "image", settings, as_sent=True)
    assert image.load(base64.b64encode(film()).decode(), "image", settings, as_sent=True).suffix == ".mp4"
    small = SETTINGS.model_copy(update={"max_image_bytes": 99, "max_media_bytes": 1000})
    with pytest.raises(ImageRejected, match=r"has 1001 bytes .* at most 1000 "):
        image.load(base64.b64encode(bytes(1001)).decode(), "image", small, as_sent=True)


def test_one_is_read_as_what_its_beginning_says_and_as_nothing_else() -> None:
    tagged = b"ID3\4\0\0\0\0\0\0" + sound(kind="flac", codec="flac")
    assert find_suffix(tagged) == ".mp3"
    with pytest.raises(ImageRejected, match="cut short or damaged"):
        load(tagged)


def test_a_start_image_is_no_video() -> None:
    with pytest.raises(ImageRejected, match="is a video"):
        load(film(), as_sent=False)


def test_a_still_image_in_a_videos_container_is_no_video() -> None:
    assert find_suffix(b"\0\0\0\x20ftypavif") == ""
    assert find_suffix(b"\0\0\0\x20ftypheic") == ""
