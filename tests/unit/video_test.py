"""Finished videos: what is found out about them, and the index moved to the front without a change to the frames."""

import contextlib
import io
import os
import signal
import struct
import threading
from dataclasses import replace
from fractions import Fraction
from typing import Any

import av
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from worker.errors import JobCancelled, OutputFailed
from worker.input import media
from worker.input.decoder import SHARED
from worker.input.pixels import Unfit
from worker.output.file import OutputFile
from worker.output.video import Expected, check, inspect, put_index_first

SIZE = (96, 64)


def gradient(number: int) -> Image.Image:
    picture = Image.linear_gradient("L").rotate(number * 9).resize(SIZE)
    return Image.merge("RGB", (picture, picture, picture))


def black(_number: int) -> Image.Image:
    return Image.new("RGB", SIZE, (3, 2, 3))


def only_the_first(number: int) -> Image.Image:
    return black(number) if number else gradient(number)


def fading_in(number: int) -> Image.Image:
    return gradient(number) if number > 1 else black(number)


def film(count: int = 9, fps: float = 24, draw: Any = gradient, name: str = "clip.mp4", **movflags: str) -> OutputFile:
    """A video as ComfyUI writes it: H.264, its index behind the frames, the graph among its metadata."""
    target = io.BytesIO()
    codec = "libx264" if name.endswith(".mp4") else "libvpx-vp9"
    options = {"movflags": "use_metadata_tags"} | movflags
    with av.open(target, "w", format="mp4" if codec == "libx264" else "webm", options=options) as output:
        output.metadata["prompt"] = '{"1": "graph"}'
        stream = output.add_stream(codec, rate=Fraction(fps).limit_denominator(1001))
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        output.start_encoding()
        for number in range(count):
            output.mux(stream.encode(av.VideoFrame.from_image(draw(number))))
        output.mux(stream.encode())
    return OutputFile(name, target.getvalue())


def expected(num_frames: int) -> Expected:
    return Expected(num_frames, 24.0, stills=False)


def frames_of(data: bytes) -> list[bytes]:
    with av.open(io.BytesIO(data)) as container:
        return [frame.to_ndarray().tobytes() for frame in container.decode(video=0)]


def inspect_here(file: OutputFile) -> media.Video:
    """In this process, not in decoder's child."""
    return media.inspect(file.data, media.READERS[file.suffix])


@pytest.mark.parametrize("name", ["clip.mp4", "clip.webm"])
def test_a_clip_is_told_as_it_is_decoded(name: str) -> None:
    clip = inspect_here(film(9, fps=23.976, name=name))
    assert (clip.width, clip.height, clip.frames, clip.black) == (*SIZE, 9, False)
    assert clip.fps == pytest.approx(23.976)


def test_a_clip_cut_short_says_how_many_frames_are_whole() -> None:
    with pytest.raises(Unfit, match=r"^[1-8] of 9 frames are whole$"):
        media.inspect(put_index_first(film(9))[:-40], "mp4")


def test_a_clip_without_frames_is_told_as_that() -> None:
    with pytest.raises(Unfit, match="has no frames") as caught:
        inspect_here(film(0, movflags="empty_moov"))
    assert caught.value.kind == "broken"


def test_a_video_is_read_as_what_its_suffix_says_and_as_nothing_else() -> None:
    with pytest.raises(OutputFailed, match=r"clip\.mp4 cannot be decoded"):
        inspect(OutputFile("clip.mp4", film(name="clip.webm").data))


def test_what_was_asked_for_is_the_answers_and_gives_no_warning() -> None:
    checked = check([film(9, fps=24)], expected(9))
    assert checked.facts == {"width": 96, "height": 64, "num_frames": 9, "fps": 24.0}
    assert checked.warnings == ()


def test_other_frames_and_another_rate_are_told_and_are_the_answers() -> None:
    checked = check([film(9, fps=12)], expected(16))
    assert (checked.facts["num_frames"], checked.facts["fps"]) == (9, 12)
    assert list(checked.warnings) == [
        "the video clip.mp4 has 9 frames instead of 16",
        "the video clip.mp4 has 12 frames per second instead of 24",
    ]


@pytest.mark.parametrize(("draw", "count"), [(black, 9), (black, 1), (black, 40), (only_the_first, 9)])
def test_a_black_video_is_told_with_what_to_change(draw: Any, count: int) -> None:
    (warning,) = check([film(count, draw=draw)], expected(count)).warnings
    assert "is black" in warning
    assert "COMFYUI_ARGS has --use-sage-attention" in warning


@pytest.mark.parametrize(("draw", "count"), [(gradient, 1), (fading_in, 9), (only_the_first, 1)])
def test_a_video_that_shows_something_is_not_called_black(draw: Any, count: int) -> None:
    assert check([film(count, draw=draw)], expected(count)).warnings == ()


@pytest.mark.parametrize("data", [b"", b"no video", film().data[:-600], b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"])
def test_a_video_that_cannot_be_decoded_is_an_error(data: bytes) -> None:
    with pytest.raises(OutputFailed, match=r"clip\.mp4 cannot be decoded"):
        check([OutputFile("clip.mp4", data)], expected(9))


def test_a_video_that_kills_its_decoder_is_sent_unchecked() -> None:
    clip = film()
    check([clip], expected(9))
    assert SHARED._child
    os.kill(SHARED._child._process.pid, signal.SIGSTOP)
    checked = check([clip], expected(9), SHARED._child.kill)  # as soon as it is waited for
    assert (checked.files, checked.facts) == ((clip,), {})
    assert "is not checked" in checked.warnings[0]
    assert check([clip], expected(9)).warnings == ()


@pytest.mark.parametrize(("kind", "is_sent"), [("slow", True), ("dead", True), ("broken", False)])
def test_a_video_whose_decoder_ended_is_sent_unchecked(
    kind: str, is_sent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise Unfit(kind, "why")

    monkeypatch.setattr(SHARED, "inspect", fail)
    clip, sound = OutputFile("clip.mp4", b"x"), OutputFile("b.flac", b"y")
    checked = check([clip, sound], expected(9))
    assert checked.files == ((clip, sound) if is_sent else (sound,))
    assert "clip.mp4" in checked.warnings[0]


def test_a_check_can_be_given_up() -> None:
    def give_up() -> None:
        raise JobCancelled("no more")

    SHARED._lock.acquire()
    threading.Timer(1, SHARED._lock.release).start()
    with pytest.raises(JobCancelled):
        check([film()], expected(9), give_up)


def test_a_sound_video_of_a_callers_graph_is_not_described() -> None:
    file = film()
    checked = check([file], None)
    assert (checked.facts, checked.warnings) == ({}, ())
    assert checked.files == (replace(file, data=put_index_first(file)),)


def test_a_broken_video_is_left_out_where_frames_can_be_sent() -> None:
    frame = OutputFile("frame_0001.png", b"png")
    checked = check([OutputFile("clip.mp4", b"no video"), frame], expected(9))
    assert checked.files == (frame,)
    assert checked.warnings == ("the video clip.mp4 cannot be decoded: InvalidDataError; it is not sent",)
    assert checked.facts == {}


def test_a_broken_video_of_a_callers_graph_goes_as_it_is_with_a_warning() -> None:
    broken = OutputFile("mine.webm", b"no video")
    checked = check([broken], None)
    assert checked.files == (broken,)
    assert "mine.webm cannot be decoded" in checked.warnings[0]


def test_a_webm_is_checked_and_keeps_its_bytes() -> None:
    file = film(5, name="clip.webm")
    checked = check([file], expected(5))
    assert checked.facts["num_frames"] == 5
    assert checked.files == (file,)


def test_the_index_goes_in_front_and_frames_and_metadata_stay() -> None:
    file = film(25)
    assert file.data.index(b"mdat") < file.data.index(b"moov")
    (moved,) = check([file], expected(25)).files
    assert moved.data.index(b"moov") < moved.data.index(b"mdat")
    assert len(moved.data) == len(file.data)
    assert frames_of(moved.data) == frames_of(file.data)
    with av.open(io.BytesIO(moved.data)) as container:
        assert container.metadata["prompt"] == '{"1": "graph"}'
    assert put_index_first(moved) == moved.data


def test_a_fragmented_file_is_left_alone() -> None:
    file = film(25, movflags="frag_keyframe+empty_moov")
    assert b"moof" in file.data
    assert put_index_first(file) == file.data
    data = box(b"moof", b"") + box(b"mdat", b"AAAA") + box(b"moov", b"")
    assert put_index_first(OutputFile("a.mp4", data)) == data


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def nested(*kinds: bytes, content: bytes) -> bytes:
    for kind in reversed(kinds):
        content = box(kind, content)
    return content


def large(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4sQ", 1, kind, 16 + len(content)) + content


def test_places_of_64_bits_and_two_media_boxes_are_followed() -> None:
    def build(first: int, second: int) -> tuple[bytes, bytes, bytes]:
        media = box(b"free", b"") + box(b"mdat", b"AAAA") + large(b"mdat", b"BBBB")
        table = box(b"co64", struct.pack(">IIQQ", 0, 2, first, second))
        track = large(b"trak", nested(b"mdia", b"minf", b"stbl", content=table))
        return box(b"ftyp", b"isom"), media, box(b"moov", track)

    rest = struct.pack(">I4s", 0, b"free") + b"end"  # a length of 0: to the end of the file
    head, media, index = build(0, 0)
    places = [(head + media).index(letters) for letters in (b"AAAA", b"BBBB")]
    head, media, index = build(*places)
    moved = put_index_first(OutputFile("a.mp4", head + media + index + rest))
    first, second = struct.unpack(">QQ", moved[moved.index(b"co64") + 12 :][:16])
    assert (moved[first : first + 4], moved[second : second + 4]) == (b"AAAA", b"BBBB")
    assert moved.index(b"moov") < moved.index(b"mdat")
    assert moved.endswith(b"end")


def test_a_place_that_would_pass_32_bits_leaves_the_file_alone() -> None:
    table = box(b"stco", struct.pack(">III", 0, 1, 2**32 - 4))
    data = box(b"mdat", b"AAAA") + nested(b"moov", b"trak", b"mdia", b"minf", b"stbl", content=table)
    assert put_index_first(OutputFile("a.mp4", data)) == data


FILM = film(3).data


@settings(max_examples=60, deadline=None)
@example(cut=len(FILM), at=8, junk=b"\x80")  # a brand that is no UTF-8: PyAV reads it as metadata
@given(cut=st.integers(0, len(FILM)), at=st.integers(0, len(FILM)), junk=st.binary(max_size=40))
def test_a_damaged_file_is_an_output_error_or_a_clip_and_never_anything_else(cut: int, at: int, junk: bytes) -> None:
    data = (FILM[:at] + junk + FILM[at + len(junk) :])[:cut]
    with contextlib.suppress(OutputFailed):
        (file,) = check([OutputFile("clip.mp4", data)], expected(3)).files
        assert len(file.data) == len(data)


@pytest.mark.parametrize(("count", "shown"), [(17, 1), (17, 2), (17, 4), (17, 16), (5, 3), (1, 0), (2, 1)])
def test_one_frame_that_shows_something_is_enough_where_it_is_looked_at(count: int, shown: int) -> None:
    clip = film(count, draw=lambda number: gradient(number) if number == shown else black(number))
    assert not inspect_here(clip).black


@pytest.mark.parametrize(("count", "shown"), [(17, 0), (17, 3), (9, 0), (2, 0)])
def test_a_clip_that_shows_nothing_where_it_is_looked_at_is_black(count: int, shown: int) -> None:
    clip = film(count, draw=lambda number: gradient(number) if number == shown else black(number), crf="1", g="1")
    assert inspect_here(clip).black


@pytest.mark.parametrize(
    ("fps", "asked", "told", "warned"),
    [(24, 24.0, 24.0, False), (24, 24.009, 24.009, False), (24, 24.02, 24.0, True), (24000 / 1001, 30.0, 23.976, True)],
)
def test_a_rate_near_the_one_asked_for_is_that_one(fps: float, asked: float, told: float, warned: bool) -> None:
    checked = check([film(3, fps=fps)], Expected(3, asked, stills=False))
    assert checked.facts == {"width": 96, "height": 64, "num_frames": 3, "fps": told}
    assert bool(checked.warnings) == warned


def test_of_a_callers_graph_every_file_goes_as_it_is_and_what_is_odd_is_told() -> None:
    broken, sound = OutputFile("a.mp4", b"no video"), OutputFile("b.flac", b"sound")
    checked = check([broken, sound], None)
    assert (checked.files, checked.facts) == ((broken, sound), {})
    (warning,) = checked.warnings
    assert "a.mp4 cannot be decoded" in warning
    assert "not sent" not in warning
    left = check([broken, sound], expected(3))
    assert (left.files, left.facts) == ((sound,), {})
    assert left.warnings[0] == f"{warning}; it is not sent"
    with pytest.raises(OutputFailed, match=r"a\.mp4 cannot be decoded"):
        check([broken], expected(3))


def test_frames_that_are_missing_among_the_stills_are_told() -> None:
    stills = [OutputFile(f"{number}.png", b"") for number in range(2)]
    checked = check([film(3), *stills], Expected(3, 24.0, stills=True))
    assert checked.facts["num_frames"] == 2
    assert checked.warnings == ("ComfyUI delivered 2 frames instead of 3",)
    assert check(stills, Expected(2, 24.0, stills=True)).warnings == ()
