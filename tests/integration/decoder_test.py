"""Pictures made to hurt: the time, the memory and the life of what decodes them end, and the worker goes on."""

import base64
import functools
import io
import os
import resource
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import pytest
from PIL import Image

from local.engine import Engine, Scenario, start
from tests.conftest import Run
from tests.helpers import encode, gradient, small_job, wait_until
from worker.errors import ImageRejected, JobCancelled, JobTimeout
from worker.input import decoder as decoders
from worker.input import image
from worker.input.decoder import Decoder
from worker.input.pixels import Unfit

GOOD = base64.b64decode(gradient())
LIMITS = {"max_pixels": 64_000_000, "as_sent": True}


def slow_picture() -> bytes:
    """60 megapixels in a few hundred kB, half transparent: seconds of decoding."""
    picture = Image.effect_noise((70, 70), 90).resize((7700, 7700), Image.Resampling.NEAREST).convert("RGBA")
    picture.putalpha(200)
    return encode(picture, "PNG", compress_level=1)


def webp_of(side: int) -> bytes:
    """A WebP animation of 46 bytes whose canvas its reader makes before anybody can ask for its size."""
    size = (side - 1).to_bytes(3, "little")
    return (
        struct.pack("<4sI8sI", b"RIFF", 38, b"WEBPVP8X", 10)
        + b"\2\0\0\0"
        + size * 2
        + struct.pack("<4sI", b"ANIM", 6)
        + bytes(6)
    )


def jpeg_of_scans() -> bytes:
    """Each of its scans, of 12 bytes or so, goes over all of its 9 megapixels."""
    whole = encode(Image.new("RGB", (3000, 3000)), "JPEG", progressive=True, quality=5)
    last = whole.rindex(b"\xff\xda")
    return whole[:-2] + whole[last:-2] * 2000 + whole[-2:]


def tiff_of_pages(pages: int) -> bytes:
    """Pages of one pixel each, which its reader walks through anew for each."""
    fields = ((256, 3, 1), (257, 3, 1), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (278, 3, 1), (279, 4, 1))
    page = struct.pack("<H", len(fields)) + b"".join(struct.pack("<HHII", tag, kind, 1, x) for tag, kind, x in fields)
    size = len(page) + 4
    links = (struct.pack("<I", 8 + size * number if number < pages else 0) for number in range(1, pages + 1))
    return struct.pack("<2sHI", b"II", 42, 8) + b"".join(page + link for link in links)


def png_with(kind: bytes, content: bytes, times: int = 1) -> bytes:
    """A sound PNG with more chunks of a kind behind its header."""
    checksum = zlib.crc32(kind + content)
    chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
    return GOOD[:33] + chunk * times + GOOD[33:]


@functools.cache
def bomb() -> bytes:
    """A gigabyte of zeros, as zlib writes it, but for its checksum."""
    packer = zlib.compressobj(wbits=-15)
    part = packer.compress(bytes(10_000_000)) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x78\x9c" + part * 100 + packer.flush()


def looped_exif() -> bytes:
    """Its directory is its own next one, and its own inner one."""
    entries = struct.pack("<HHII", 0x112, 3, 1, 6) + struct.pack("<HHII", 0x8769, 4, 1, 8)
    exif = struct.pack("<2sHIH", b"II", 42, 8, 2) + entries + struct.pack("<I", 8)
    return encode(Image.new("RGB", (64, 64)), "JPEG", exif=b"Exif\0\0" + exif)


def animation(kind: str, frames: int) -> bytes:
    pictures = [Image.new("L", (8, 8), number % 2 * 200) for number in range(frames)]
    return encode(pictures[0], kind, save_all=True, append_images=pictures[1:], duration=20)


def wav_of_hours() -> bytes:
    """A second of silence whose header promises 100 hours."""
    length = 100 * 3600 * 8000
    head = struct.pack(
        "<4sI8sIHHIIHH4sI", b"RIFF", length + 36, b"WAVEfmt ", 16, 1, 1, 8000, 8000, 1, 8, b"data", length
    )
    return head + bytes(8000)


def video_of(frames: int, side: int) -> bytes:
    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=60)
        stream.width = stream.height = side
        frame = av.VideoFrame(side, side, "yuv420p")
        for number in range(frames):
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return target.getvalue()


TO_HEAR = {"max_seconds": 120, "as_sent": True}
HOSTILE: dict[str, tuple[Callable[[], bytes], dict[str, Any]]] = {
    "JPEG of 2,000 scans": (jpeg_of_scans, {}),
    "TIFF of 50,000 pages": (lambda: tiff_of_pages(50_000), {}),
    "WebP of 46 bytes": (lambda: webp_of(16384), {}),
    "PNG with a text of a gigabyte": (lambda: png_with(b"zTXt", b"a\0\0" + bomb()), {}),
    "PNG with a profile of a gigabyte": (lambda: png_with(b"iCCP", b"a\0\0" + bomb()), {}),
    "PNG with a gigabyte of pixels": (lambda: png_with(b"IDAT", bomb()), {}),
    "PNG with 300,000 chunks": (lambda: png_with(b"teSt", b"", 300_000), {}),
    "PNG with a profile of noise": (lambda: png_with(b"iCCP", b"a\0\0" + zlib.compress(os.urandom(9_000_000))), {}),
    "JPEG with a loop in its EXIF": (looped_exif, {}),
    "GIF of 3,000 frames": (lambda: animation("GIF", 3000), {}),
    "APNG of 3,000 frames": (lambda: animation("PNG", 3000), {}),
    "AVIF of 300 frames": (lambda: animation("AVIF", 300), {}),
    "WAV of 100 hours": (wav_of_hours, TO_HEAR),
    "MP4 of 20,000 frames": (lambda: video_of(20_000, 16), TO_HEAR),
    "MP4 of 30 frames of 12 megapixels": (lambda: video_of(30, 3456), TO_HEAR),
}


@pytest.fixture(scope="module")
def slow() -> bytes:
    return slow_picture()


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    made = Decoder()
    yield made
    if made._child:
        made._child.kill()


def ask(decoder: Decoder, data: bytes, check: Any = lambda: None, **request: Any) -> Any:
    return decoder.ask({**LIMITS, **request}, data, check)


def check_it_goes_on(decoder: Decoder) -> None:
    made = ask(decoder, GOOD)
    assert (made.data, made.suffix, made.width, made.height) == (GOOD, ".png", 96, 64)


def pid_of(decoder: Decoder) -> int:
    assert decoder._child
    return decoder._child._process.pid


def test_one_child_does_all_that_is_sound(decoder: Decoder) -> None:
    check_it_goes_on(decoder)
    first = pid_of(decoder)
    with pytest.raises(Unfit) as caught:
        ask(decoder, b"no picture")
    assert caught.value.kind == "unknown"
    check_it_goes_on(decoder)
    assert pid_of(decoder) == first


@pytest.mark.parametrize(
    ("hard", "soft"), [(resource.RLIM_INFINITY, 792_000_006), (10**12, 792_000_006), (5_000_000, 5_000_000)]
)
def test_the_memory_it_may_take_grows_with_the_pixels_and_bytes_of_the_file(
    hard: int, soft: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    limits = {"getrlimit": {resource.RLIMIT_AS: (1, hard)}.get, "setrlimit": lambda *limit: told.append(limit)}
    monkeypatch.setattr(decoders, "resource", SimpleNamespace(**{**vars(resource), **limits}))
    decoders._answer({"max_pixels": 1_000_000, "as_sent": True}, b"GIF")
    assert told == [(resource.RLIMIT_AS, (soft, hard))]


def test_a_warm_child_is_the_one_that_decodes(decoder: Decoder) -> None:
    decoder.warm()
    first = pid_of(decoder)
    decoder.warm()
    check_it_goes_on(decoder)
    assert pid_of(decoder) == first


def test_one_that_takes_too_long_is_given_up_in_time(
    decoder: Decoder, slow: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_it_goes_on(decoder)
    monkeypatch.setattr(decoders, "SECONDS", 0.3)
    began = time.monotonic()
    with pytest.raises(Unfit) as caught:
        ask(decoder, slow)
    assert caught.value.kind == "slow"
    assert time.monotonic() - began < 2
    monkeypatch.undo()
    check_it_goes_on(decoder)


def test_what_check_raises_ends_it_at_once(decoder: Decoder, slow: bytes) -> None:
    check_it_goes_on(decoder)
    first, began = pid_of(decoder), time.monotonic()

    def check() -> None:
        if time.monotonic() - began > 0.2:
            raise JobCancelled("no more")

    with pytest.raises(JobCancelled):
        ask(decoder, slow, check)
    assert time.monotonic() - began < 2
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)
    check_it_goes_on(decoder)


def test_one_that_waits_for_its_turn_can_be_cancelled(decoder: Decoder, slow: bytes) -> None:
    check_it_goes_on(decoder)
    busy = threading.Thread(target=lambda: ask(decoder, slow))
    busy.start()
    wait_until(decoder._lock.locked)
    began = time.monotonic()

    def check() -> None:
        raise JobCancelled("no more")

    with pytest.raises(JobCancelled):
        ask(decoder, GOOD, check)
    assert time.monotonic() - began < 1
    busy.join()
    check_it_goes_on(decoder)


@pytest.mark.parametrize("side", [8192, 16384])
def test_a_canvas_of_gigabytes_is_too_many_pixels_and_costs_the_worker_nothing(decoder: Decoder, side: int) -> None:
    check_it_goes_on(decoder)
    with pytest.raises(Unfit) as caught:
        ask(decoder, webp_of(side), max_pixels=1_000_000)
    assert caught.value.kind in {"pixels", "broken"}
    status = Path(f"/proc/{pid_of(decoder)}/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    assert peak < 850_000  # kB
    check_it_goes_on(decoder)


@pytest.mark.parametrize("kind", HOSTILE)
def test_whatever_it_is_it_ends_in_time_and_within_its_memory(
    decoder: Decoder, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, request = HOSTILE[kind]
    data = make()
    check_it_goes_on(decoder)
    child, peaks = Path(f"/proc/{pid_of(decoder)}/status"), [0]

    def watch() -> None:
        with suppress(OSError, StopIteration):  # it has ended
            peaks.append(next(int(line.split()[1]) for line in child.read_text().splitlines() if "VmHWM" in line))

    monkeypatch.setattr(decoders, "SECONDS", 2.0)
    began = time.monotonic()
    with suppress(Unfit):
        ask(decoder, data, watch, **{"as_sent": False, **request})
    assert time.monotonic() - began < 6
    watch()
    assert max(peaks) < 900_000  # kB
    monkeypatch.undo()
    check_it_goes_on(decoder)


def test_a_child_that_ended_while_nobody_asked_costs_no_picture(decoder: Decoder) -> None:
    check_it_goes_on(decoder)
    os.kill(pid_of(decoder), signal.SIGKILL)
    assert decoder._child
    decoder._child._process.wait()
    check_it_goes_on(decoder)


def test_one_that_kills_its_decoder_is_refused(decoder: Decoder, slow: bytes) -> None:
    check_it_goes_on(decoder)
    threading.Timer(0.3, os.kill, [pid_of(decoder), signal.SIGKILL]).start()
    with pytest.raises(Unfit) as caught:
        ask(decoder, slow)
    assert caught.value.kind == "dead"
    check_it_goes_on(decoder)


def test_the_child_has_no_secrets_and_ends_with_its_parent(tmp_path: Path) -> None:
    script = (
        "import os, time; from worker.input.decoder import Decoder; d = Decoder(); d.warm()\n"
        "pid = d._child._process.pid\n"
        "if os.fork(): print(pid, flush=True)\n"  # the other keeps the line open, as the SDK's heartbeat does
        "time.sleep(40); os._exit(0)"
    )
    environ = {**os.environ, "BUCKET_SECRET_ACCESS_KEY": "HIDDEN", "RUNPOD_AI_API_KEY": "HIDDEN"}
    with subprocess.Popen([sys.executable, "-c", script], env=environ, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = Path("/proc") / parent.stdout.readline().strip()
        wait_until(lambda: b"decoder" in (child / "cmdline").read_bytes())
        assert b"HIDDEN" not in (child / "environ").read_bytes()
        parent.kill()
    wait_until(lambda: not child.exists() or " Z " in (child / "stat").read_text())


class TestAJob:
    """What reaches the prompt reaches the picture before it, too."""

    @pytest.fixture(scope="class")
    def engine(self) -> Iterator[Engine]:
        with start(scenario=Scenario(step_seconds=0.01)) as running:
            yield running

    @pytest.mark.parametrize("fit", ["crop", "pad"])
    def test_its_deadline_ends_a_slow_picture(self, run: Run, engine: Engine, slow: bytes, fit: str) -> None:
        image.warm()
        began = time.monotonic()
        with pytest.raises(JobTimeout, match="JOB_TIMEOUT"):
            run(engine, small_job(image=base64.b64encode(slow).decode(), fit=fit), job_timeout=1.0)
        assert time.monotonic() - began < 5
        assert run(engine, small_job())["status"] == "success"

    def test_a_cancel_ends_a_slow_picture(self, run: Run, engine: Engine, slow: bytes) -> None:
        cancelled = threading.Event()
        threading.Timer(0.5, cancelled.set).start()
        began = time.monotonic()
        with pytest.raises(JobCancelled):
            run(engine, small_job(image=base64.b64encode(slow).decode()), cancelled=cancelled)
        assert time.monotonic() - began < 5

    def test_a_slow_picture_is_refused_with_what_to_do(
        self, run: Run, engine: Engine, slow: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(decoders, "SECONDS", 0.3)
        with pytest.raises(ImageRejected, match="s to decode"):
            run(engine, small_job(image=base64.b64encode(slow).decode()))
