"""Replies: what is in them, what is given up first when they get too large, and that they never are."""

import base64
import io
import json
import mimetypes
import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from tests.helpers import color_at, content, encode, told
from worker import stills
from worker.errors import OutputFailed
from worker.output import reply as replies
from worker.output.encoding import encode_all as encoding_all
from worker.output.encoding import estimate
from worker.output.file import OutputFile, find_main_type
from worker.output.reply import Place, Terms, deliver, refer
from worker.stills import Encoding

ANSWER = {"status": "success", "prompt_id": "p", "seed": 7, "outputs": [], "timings": {"total": 1.5}, "warnings": ["w"]}
ROOMY = 20_000_000
PLAIN, JPEG = Encoding("PNG"), Encoding("JPEG", 60)


def noise(side: int) -> Pillow.Image:
    return Pillow.frombytes("RGB", (side, side), os.urandom(side * side * 3))


def frames(count: int, side: int = 64) -> list[OutputFile]:
    return [OutputFile(f"frame_{n:04}.png", encode(noise(side))) for n in range(1, count + 1)]


def video(size: int = 1000) -> OutputFile:
    return OutputFile("clip.mp4", os.urandom(size))


def send(files: list[OutputFile], **changes: Any) -> dict[str, Any]:
    options = {"output": "both", "frame_format": "auto", "limit": ROOMY, "images_list": False, **changes}
    return deliver(files, ANSWER, Terms(**options))


def size(reply: dict[str, Any]) -> int:
    return len(json.dumps({"output": reply}, ensure_ascii=False).encode())


def data(entry: dict[str, Any]) -> bytes:
    return base64.b64decode(entry["data"], validate=True)


def test_the_video_comes_first_and_the_frames_follow_in_order() -> None:
    reply = send([*frames(3), video()])
    assert told(reply, "filename") == ["clip.mp4", "frame_0001.jpg", "frame_0002.jpg", "frame_0003.jpg"]
    assert told(reply, "type") == ["video", "image", "image", "image"]
    assert told(reply, "mime_type") == ["video/mp4", "image/jpeg", "image/jpeg", "image/jpeg"]
    assert told(reply, "quality") == [None, 95, 95, 95]
    assert reply["warnings"] == ["w"]
    assert reply["seed"] == 7


def test_the_bytes_of_the_video_arrive_as_they_were_saved() -> None:
    clip = video()
    assert content(send([clip])) == clip.data


def test_frames_show_the_picture_that_was_saved() -> None:
    picture = Pillow.linear_gradient("L").convert("RGB")
    reply = send([OutputFile("a.png", encode(picture))])
    shown = Pillow.open(io.BytesIO(data(reply["outputs"][0])))
    assert (shown.format, shown.size) == ("JPEG", picture.size)
    assert abs(color_at(shown, 0, 10)[0] - 10) < 6


def test_of_two_videos_the_first_is_the_clip_and_the_other_stands_in_its_entry() -> None:
    reply = send([OutputFile("a.mp4", b"a"), OutputFile("b.webm", b"b")])
    assert reply["video_url"] == "data:video/mp4;base64,YQ=="
    assert told(reply, "encoding") == ["video_url", "base64"]
    assert told(reply, "data") == [None, "Yg=="]


def test_a_picture_in_a_format_that_is_not_opened_goes_as_saved() -> None:
    saved = OutputFile("a.png", encode(noise(8), "PPM"))
    assert data(send([saved])["outputs"][0]) == saved.data


def test_png_frames_are_sent_as_saved_where_png_is_asked_for() -> None:
    files = frames(2)
    reply = send(files, frame_format="png")
    assert [data(entry) for entry in reply["outputs"]] == [file.data for file in files]
    assert told(reply, "quality") == [None, None]


def test_frames_that_comfyui_saved_as_they_are_to_be_sent_are_not_even_opened() -> None:
    files = [OutputFile(f"frame_{n:04}.jpg", os.urandom(100), quality=95) for n in range(1, 13)]
    reply = send(files)
    assert [data(entry) for entry in reply["outputs"]] == [file.data for file in files]
    assert told(reply, "quality") == [95] * 12
    assert reply["warnings"] == ["w"]


def test_frames_that_comfyui_saved_as_jpeg_are_lowered_further_where_they_do_not_fit() -> None:
    files = [OutputFile(f"frame_{n:04}.jpg", encode(noise(64), "JPEG", quality=95), quality=95) for n in range(1, 13)]
    limit = size(send(files)) * 2 // 3
    reply = send(files, limit=limit)
    (quality,) = {entry["quality"] for entry in reply["outputs"]}
    assert 40 <= quality < 95
    assert size(reply) <= limit
    assert f"12 images are JPEG of quality {quality}" in reply["warnings"][-1]


def test_the_size_in_each_lossy_encoding_is_estimated_by_four_stills_spread_over_the_clip() -> None:
    ladder, picture, moving = (PLAIN, JPEG), encode(noise(64)), OutputFile("a.gif", bytes(1000))
    shown, odd = OutputFile("a.png", picture), OutputFile("a.png", b"no picture")
    assert estimate([moving, *[shown] * 8], ladder) == {}
    jpeg = len(stills.encode(picture, [JPEG])[0])
    assert estimate([moving, *[shown] * 9], ladder) == {JPEG: pytest.approx((1000 + 9 * jpeg) * 4 / 3)}
    mixed = [odd if number % 3 else shown for number in range(12)]
    total = 4 * len(picture) + 8 * len(odd.data)
    share = jpeg / len(picture)
    assert estimate([moving, *mixed], ladder) == {JPEG: pytest.approx((1000 + share * total) * 4 / 3)}
    assert estimate([odd] * 9, ladder) == {JPEG: pytest.approx(90 * 4 / 3)}
    flat = OutputFile("a.png", encode(Pillow.new("RGB", (1, 1))))
    assert estimate([flat] * 9, ladder) == {JPEG: pytest.approx(9 * len(flat.data) * 4 / 3)}


def test_webp_is_made_where_it_is_asked_for() -> None:
    entry = send(frames(1), frame_format="webp")["outputs"][0]
    assert (entry["filename"], entry["mime_type"], entry["quality"]) == ("frame_0001.webp", "image/webp", 90)
    assert Pillow.open(io.BytesIO(data(entry))).format == "WEBP"


def test_files_of_the_callers_graph_keep_their_bytes_and_names() -> None:
    files = [OutputFile("x.png", encode(noise(8))), OutputFile("y.jpg", encode(noise(8), "JPEG"))]
    reply = send(files, frame_format="original")
    assert told(reply, "filename") == ["x.png", "y.jpg"]
    assert [data(entry) for entry in reply["outputs"]] == [file.data for file in files]


@pytest.mark.parametrize("frame_format", ["auto", "jpeg", "png", "webp", "original"])
def test_quality_falls_until_the_reply_fits_and_the_caller_is_told(frame_format: str) -> None:
    files = [video(), *frames(12)]
    full = send(files, frame_format="jpeg")
    limit = size(full) * 2 // 3
    reply = send(files, frame_format=frame_format, limit=limit)
    qualities = {entry["quality"] for entry in reply["outputs"][1:]}
    assert len(qualities) == 1
    assert 40 <= qualities.pop() < 95
    assert size(reply) <= limit
    assert told(reply, "mime_type")[1:] == ["image/jpeg"] * 12
    assert "quality" in reply["warnings"][-1]


def test_the_highest_quality_that_fits_is_chosen() -> None:
    files = frames(20)
    qualities = []
    for share in (1.0, 0.8, 0.6, 0.45):
        reply = send(files, limit=int(size(send(files)) * share))
        qualities.append(reply["outputs"][0]["quality"])
    assert qualities[0] == 95
    assert qualities == sorted(qualities, reverse=True)
    assert len(set(qualities)) == 4


@pytest.mark.parametrize(("frame_format", "first"), [("jpeg", []), ("original", [Encoding()])])
def test_no_pass_over_all_frames_is_made_for_an_encoding_that_cannot_fit(
    frame_format: str, first: list[Encoding], monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[Encoding] = []

    def encode_all(files: list[OutputFile], encoding: Encoding, *, fallback: bool) -> list[OutputFile]:
        passes.append(encoding)
        return encoding_all(files, encoding, fallback=fallback)

    monkeypatch.setattr(replies, "encode_all", encode_all)
    files = frames(12)
    limit = size(send(encoding_all(files, JPEG), frame_format="original")) + 200
    passes.clear()
    assert {*told(send(files, frame_format=frame_format, limit=limit), "quality")} == {JPEG.quality}
    assert passes == [*first, JPEG]
    passes.clear()
    with pytest.raises(OutputFailed):
        send(files, frame_format=frame_format, limit=3000)
    assert passes == [*first, Encoding("JPEG", 40)]


def test_the_video_alone_is_sent_where_frames_fit_at_no_quality() -> None:
    reply = send([video(), *frames(12)], limit=3000)
    assert told(reply, "type") == ["video"]
    assert "only the video" in reply["warnings"][-1]


def test_frames_are_sent_where_the_video_does_not_fit() -> None:
    reply = send([video(500_000), *frames(2)], limit=50_000)
    assert told(reply, "type") == ["image", "image"]
    assert "video does not fit" in reply["warnings"][-1]


def test_nothing_that_fits_is_an_error_with_sizes_and_a_way_out() -> None:
    with pytest.raises(OutputFailed) as caught:
        send([video(500_000), *frames(20)], limit=10_000)
    for words in ("0.01 MB", "num_frames", "width and height", "call /runsync (20 MB)", "raise REPLY_LIMIT_MB where"):
        assert words in caught.value.message
    assert caught.value.details["video_bytes"] == 500_000
    assert caught.value.details["limit_bytes"] == 10_000


def test_with_output_frames_the_video_stays_behind() -> None:
    assert told(send([video(), *frames(2)], output="frames"), "type") == ["image", "image"]


def test_with_output_frames_the_video_replaces_frames_that_cannot_fit() -> None:
    reply = send([video(), *frames(12)], output="frames", limit=3000)
    assert told(reply, "type") == ["video"]
    assert "sent instead" in reply["warnings"][-1]


def test_with_output_video_frames_are_never_sent() -> None:
    assert told(send([video(), *frames(2)], output="video"), "type") == ["video"]
    with pytest.raises(OutputFailed):
        send([video(50_000), *frames(2)], output="video", limit=30_000)
    with pytest.raises(OutputFailed, match="no video was saved"):
        send(frames(2), output="video")


def test_moving_pictures_are_never_encoded_again() -> None:
    moving = encode(noise(32), "WEBP", save_all=True, append_images=[noise(32)])
    gif = encode(noise(32), "GIF", save_all=True, append_images=[noise(32)])
    unmarked = encode(noise(32), save_all=True, append_images=[noise(32)])
    files = [OutputFile("a.webp", moving, animated=True), OutputFile("b.gif", gif), OutputFile("c.png", unmarked)]
    reply = send(files, frame_format="jpeg")
    assert [data(entry) for entry in reply["outputs"]] == [moving, gif, unmarked]
    assert told(reply, "type") == ["image", "image", "image"]


def test_transparency_becomes_white_in_a_jpeg() -> None:
    clear = OutputFile("cut.png", encode(Pillow.new("RGBA", (16, 16), (0, 0, 0, 0))))
    shown = Pillow.open(io.BytesIO(data(send([clear])["outputs"][0])))
    assert shown.getpixel((8, 8)) == (255, 255, 255)


def test_files_of_unknown_kind_come_back_unchanged() -> None:
    files = [OutputFile("lat.latent", b"abc"), OutputFile("talk.flac", b"def"), OutputFile("broken.png", b"no png")]
    reply = send(files)
    assert told(reply, "type") == ["file", "file", "image"]
    assert told(reply, "mime_type")[0] == "application/octet-stream"
    assert [data(entry) for entry in reply["outputs"]] == [b"abc", b"def", b"no png"]


@pytest.mark.parametrize("name", ["a.flac", "a.MP3", "a.opus", "a.wav", "a.mkv", "a.m4v"])
def test_sounds_and_videos_are_known_where_the_machine_has_no_list(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mimetypes, "guess_type", lambda _: (None, None))
    assert find_main_type(name) in {"audio", "video"}


def test_names_are_plain_and_unique() -> None:
    png = encode(noise(8))
    names = ["a/ComfyUI_00001_.png", "b\\comfyui_00001_.PNG", "../../etc/passwd", "..", 'x\n\ud800"<y>.png']
    filenames = told(send([OutputFile(name, png) for name in names], frame_format="original"), "filename")
    assert filenames == ["ComfyUI_00001_.png", "comfyui_00001__2.PNG", "passwd", "output", "x____y_.png"]


def test_names_stay_unique_when_suffixes_change() -> None:
    files = [OutputFile("a.png", encode(noise(8))), OutputFile("a.jpg", encode(noise(8), "JPEG"))]
    assert told(send(files, frame_format="jpeg"), "filename") == ["a.jpg", "a_2.jpg"]


def test_a_workflows_images_are_once_in_the_reply_in_worker_comfyuis_shape() -> None:
    files = [video(), *frames(2)]
    reply = send(files, frame_format="original", images_list=True)
    assert told(reply, "encoding") == ["base64", "images", "images"]
    assert [entry["filename"] for entry in reply["images"]] == told(reply, "filename")[1:]
    assert [data(entry) for entry in reply["images"]] == [file.data for file in files[1:]]
    assert not any("data" in entry for entry in reply["outputs"][1:])


def test_a_clips_video_is_once_in_the_reply_as_a_data_uri() -> None:
    clip = video()
    reply = send([clip, *frames(1)])
    assert reply["video_url"].startswith("data:video/mp4;base64,")
    assert content(reply) == clip.data
    assert "data" not in reply["outputs"][0]
    assert "video_url" not in send([clip], images_list=True)


def test_quality_is_lowered_in_the_images_list_last() -> None:
    files = frames(3)
    shared = send(files, frame_format="original", images_list=True, limit=70_000)
    reply = send(files, frame_format="original", images_list=True, limit=size(shared) - 1)
    assert reply["outputs"][0]["mime_type"] == "image/jpeg"
    assert reply["images"][0]["filename"] == "frame_0001.jpg"


def test_of_pictures_that_are_smallest_as_they_were_saved_no_loss_is_told() -> None:
    files = [OutputFile("a.jpg", encode(noise(64), "JPEG", quality=20))]
    as_saved = send(files, frame_format="original")
    assert send(files, frame_format="png", limit=size(as_saved)) == as_saved
    files += frames(1)
    reply = send(files, frame_format="png", limit=size(send(files)) + 200)
    assert told(reply, "quality") == [None, 95]
    assert "1 images are JPEG of quality 95" in reply["warnings"][-1]


def test_the_answer_given_is_not_changed() -> None:
    before = json.dumps(ANSWER)
    send([video(), *frames(2)], limit=3000)
    assert json.dumps(ANSWER) == before


PNGS = [encode(noise(side)) for side in (1, 16, 48)]
FILES = st.builds(
    OutputFile,
    filename=st.sampled_from(["a.png", "a.mp4", "ü 猫/.png", "b.webp", "c.gif", "d", "\ud800"]) | st.text(max_size=12),
    data=st.sampled_from(PNGS) | st.binary(max_size=2000),
    animated=st.booleans(),
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    files=st.lists(FILES, max_size=14),
    output=st.sampled_from(["both", "frames", "video"]),
    frame_format=st.sampled_from(["auto", "png", "jpeg", "webp", "original"]),
    limit=st.integers(0, 40_000),
    images_list=st.booleans(),
)
def test_no_reply_is_larger_than_its_limit(files: list[OutputFile], limit: int, **options: Any) -> None:
    try:
        reply = send(files, limit=limit, **options)
    except OutputFailed:
        as_saved = {**options, "frame_format": "original"}
        assert options["output"] == "video" or size(send(files, limit=ROOMY, **as_saved)) > limit
    else:
        assert size(reply) <= limit
        assert len({name.lower() for name in told(reply, "filename")}) == len(reply["outputs"])


def referred(files: list[OutputFile], place: Callable[[str], Place], **changes: Any) -> dict[str, Any]:
    """The answer where every file is stored elsewhere, at what `place` makes of its name."""
    options = {"output": "both", "frame_format": "original", "limit": ROOMY, "images_list": False, **changes}
    stored: list[str] = []

    def store(sent: list[OutputFile]) -> list[Place]:
        stored.extend(file.filename for file in sent)
        return [place(file.filename) for file in sent]

    reply = refer(files, {"seed": 7, "warnings": ["w"]}, Terms(**options), store)
    assert stored == [entry["filename"] for entry in reply["outputs"] if entry["encoding"] != "text"]
    return reply


def at_url(name: str) -> Place:
    return Place(url=f"https://b.example/{name}")


def on_volume(name: str) -> Place:
    return Place(path=f"/v/{name}", s3={"key": name} if name.endswith("mp4") else None)


STILL = OutputFile("a.png", PIXEL := encode(Pillow.new("RGB", (1, 1))), node_id="9")
CLIP = OutputFile("clip.mp4", b"x")
NOTE = OutputFile("text_1.txt", "é".encode() + b"\xff", shown=True)


def test_files_that_lie_elsewhere_are_named_by_their_urls() -> None:
    assert referred([STILL, NOTE, OutputFile("A.png", PIXEL), CLIP], at_url) == {
        "seed": 7,
        "warnings": ["w"],
        "outputs": [
            {"type": "video", "filename": "clip.mp4", "mime_type": "video/mp4", "encoding": "url"}
            | {"data": "https://b.example/clip.mp4"},
            {"type": "image", "filename": "a.png", "mime_type": "image/png", "node_id": "9", "encoding": "url"}
            | {"data": "https://b.example/a.png"},
            {"type": "image", "filename": "A_2.png", "mime_type": "image/png", "encoding": "url"}
            | {"data": "https://b.example/A_2.png"},
            {
                "type": "text",
                "filename": "text_1.txt",
                "mime_type": "text/plain",
                "encoding": "text",
                "data": "é\ufffd",
            },
        ],
        "video_url": "https://b.example/clip.mp4",
    }


def test_a_list_of_urls_that_is_longer_than_the_reply_may_be_is_a_failure() -> None:
    pictures = [OutputFile("a.png", PIXEL) for _ in range(100)]
    size = len(json.dumps({"output": referred(pictures, at_url)}, ensure_ascii=False).encode())
    assert referred(pictures, at_url, limit=size)
    with pytest.raises(OutputFailed, match="the list of 100 files"):
        referred(pictures, at_url, limit=size - 1)


def test_files_on_a_volume_are_named_by_their_paths() -> None:
    assert referred([STILL, CLIP], on_volume) == {
        "seed": 7,
        "warnings": ["w"],
        "outputs": [
            {"type": "video", "filename": "clip.mp4", "mime_type": "video/mp4", "encoding": "volume"}
            | {"path": "/v/clip.mp4", "s3": {"key": "clip.mp4"}},
            {"type": "image", "filename": "a.png", "mime_type": "image/png", "node_id": "9", "encoding": "volume"}
            | {"path": "/v/a.png"},
        ],
    }


@pytest.mark.parametrize(
    ("place", "entry"),
    [
        (at_url, {"filename": "a.png", "type": "s3_url", "data": "https://b.example/a.png"}),
        (on_volume, {"filename": "a.png", "type": "volume", "data": "/v/a.png"}),
    ],
)
def test_a_workflows_images_are_listed_in_worker_comfyuis_shape(
    place: Callable[[str], Place], entry: dict[str, str]
) -> None:
    reply = referred([STILL, CLIP], place, images_list=True)
    assert reply["images"] == [entry]
    assert "video_url" not in reply


def test_without_a_video_there_is_no_url_of_one() -> None:
    assert referred([STILL], at_url).keys() == {"seed", "outputs", "warnings"}
    assert referred([NOTE], at_url)["outputs"][0]["encoding"] == "text"


def test_stored_frames_have_the_first_encoding_of_their_format_and_losses_are_told() -> None:
    reply = referred([STILL], lambda name: Place(path=name), frame_format="jpeg")
    assert (reply["outputs"][0]["filename"], reply["outputs"][0]["quality"]) == ("a.jpg", 95)
    alone = referred([CLIP], at_url, output="frames")
    assert len(alone["warnings"]) == 2
    assert "video" in alone["warnings"][1]


def test_a_store_that_loses_a_file_is_a_failure() -> None:
    with pytest.raises(ValueError, match="shorter"):
        refer([STILL, CLIP], {"warnings": []}, Terms("both", "original", ROOMY, images_list=False), lambda _: [])


def test_places_that_do_not_fit_or_nothing_to_store_are_an_error_with_sizes() -> None:
    fits = size(referred([STILL, CLIP], at_url))
    assert referred([STILL, CLIP], at_url, limit=fits)
    with pytest.raises(OutputFailed, match="2 files"):
        referred([STILL, CLIP], at_url, limit=fits - 1)
    with pytest.raises(OutputFailed, match="no video was saved, only 1 images"):
        referred([STILL], at_url, output="video")
    with pytest.raises(OutputFailed) as caught:
        send([STILL, CLIP], limit=1)
    assert caught.value.details == {"limit_bytes": 1, "video_bytes": 1, "image_bytes": len(PIXEL)}
