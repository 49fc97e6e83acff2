"""Pictures: every way to hand one over, what reaches ComfyUI of it, and what is refused with which words."""

import base64
import io
import logging
import os
import socket
import struct
import textwrap
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import quote

import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageCms
from PIL.PngImagePlugin import PngInfo

from tests.helpers import color_at, encode
from worker.config import read as load_settings
from worker.errors import ImageRejected, JobCancelled
from worker.input.decoder import SHARED
from worker.input.image import Image, letterbox, load
from worker.input.pixels import Unfit
from worker.input.source import _heal

pillow_heif.register_heif_opener()  # the worker's decoder does so in its own process
SETTINGS = load_settings({})
ONE_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="


def photo(width: int = 48, height: int = 64) -> Pillow.Image:
    small = Pillow.frombytes("RGB", (6, 8), os.urandom(6 * 8 * 3))
    return small.resize((width, height), Pillow.Resampling.BICUBIC)


PHOTO = photo()
PNG = encode(PHOTO)


def read(source: str | bytes, **options: Any) -> Image:
    text = source if isinstance(source, str) else base64.b64encode(source).decode()
    return load(text, "image", options.pop("settings", SETTINGS), **options)


def refusal(source: str | bytes, **options: Any) -> str:
    with pytest.raises(ImageRejected) as caught:
        read(source, **options)
    assert caught.value.details == {"field": "image"}
    assert caught.value.message.startswith("image ")
    return caught.value.message


def pixels(image: Image) -> Pillow.Image:
    return Pillow.open(io.BytesIO(image.data))


def test_a_picture_of_one_pixel_is_accepted() -> None:
    image = read(ONE_PIXEL)
    assert (image.width, image.height, image.suffix) == (1, 1, ".png")


TEXT = base64.b64encode(PNG).decode()


@pytest.mark.parametrize(
    "source",
    [
        TEXT,
        TEXT.rstrip("="),
        base64.urlsafe_b64encode(PNG).decode(),
        base64.encodebytes(PNG).decode(),
        f"\n  {TEXT}\r\n",
        f"data:image/png;base64,{TEXT}",
        f"data:image/x-anything;base64,{TEXT}",
        f"data:;base64,{TEXT}",
        f"data:image/png;base64,{quote(TEXT)}",
    ],
)
def test_every_form_of_base64_gives_the_same_bytes(source: str) -> None:
    assert read(source).data == PNG


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("", "is empty"),
        ("data:image/png;base64,", "is empty"),
        ("/home/me/photo.png", "send the file itself"),
        ("ftp://example.com/photo.png", "neither base64, nor a data URI, nor an http"),
        ("data:image/svg+xml,%3Csvg/%3E", 'without ";base64,"'),
        (TEXT[: len(TEXT) // 4 * 4 - 3], "neither base64"),
    ],
)
def test_text_that_is_no_picture_at_all_is_named(source: str, words: str) -> None:
    assert words in refusal(source)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\n<!DOCTYPE html><html></html>", "a web page"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\0\0\0\x20ftypisom" + bytes(99), "a video"),
        (b"hello", "not a readable image (5 bytes)"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a readable image"),
        (b"P5 1 1000 255\n" + bytes(1000), "not a readable image"),  # a strip, to who knows the format
    ],
)
def test_other_files_are_called_by_their_name(data: bytes, words: str) -> None:
    assert words in refusal(data)


@pytest.mark.parametrize(("kind", "suffix"), [("PNG", ".png"), ("JPEG", ".jpg"), ("WEBP", ".webp")])
def test_stills_that_comfyui_reads_keep_their_bytes(kind: str, suffix: str) -> None:
    data = encode(PHOTO, kind)
    assert read(data) == Image(data, suffix, 48, 64)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "AVIF", "HEIF"])
def test_other_formats_become_a_png_of_the_same_pixels(kind: str) -> None:
    data = encode(PHOTO, kind)
    image = read(data)
    assert (image.suffix, image.warnings) == (".png", ())
    assert pixels(image).tobytes() == Pillow.open(io.BytesIO(data)).convert("RGB").tobytes()


def test_a_phones_jpeg_with_a_preview_inside_keeps_its_bytes() -> None:
    data = encode(PHOTO, "MPO", save_all=True, append_images=[PHOTO])
    assert read(data) == Image(data, ".jpg", 48, 64)
    tight = SETTINGS.model_copy(update={"max_image_pixels": 48 * 64})
    assert read(data, settings=tight, as_sent=True) == Image(data, ".jpg", 48, 64)


def test_a_cmyk_jpeg_becomes_rgb() -> None:
    image = read(encode(Pillow.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"))
    red, green, blue = color_at(pixels(image), 4, 4)
    assert image.suffix == ".png"
    assert red > 240
    assert max(green, blue) < 15


@pytest.mark.parametrize(("mode", "kind"), [("I;16", "PNG"), ("I", "TIFF"), ("F", "TIFF")])
def test_deep_grey_is_scaled_and_not_clipped(mode: str, kind: str) -> None:
    deep = Pillow.new(mode, (3, 1))
    for x, value in enumerate((0, 32896, 65535)):
        deep.putpixel((x, 0), value)
    shown = pixels(read(encode(deep, kind)))
    assert [color_at(shown, x, 0)[0] // 8 for x in range(3)] == [0, 16, 31]


def test_an_animation_gives_its_first_frame_and_a_warning() -> None:
    for kind in ("GIF", "WEBP", "PNG"):
        data = encode(Pillow.new("RGB", (9, 9), "red"), kind, save_all=True, append_images=[photo(9, 9)])
        image = read(data)
        assert color_at(pixels(image), 4, 4)[0] > 240
        assert "first of 2 frames" in image.warnings[0]


def test_transparent_parts_become_white_with_a_warning() -> None:
    clear = Pillow.new("RGBA", (4, 4), (255, 0, 0, 0))
    image = read(encode(clear))
    assert pixels(image).getpixel((0, 0)) == (255, 255, 255)
    assert "white" in image.warnings[0]


def test_an_alpha_channel_that_hides_nothing_changes_nothing() -> None:
    data = encode(PHOTO.convert("RGBA"))
    assert read(data) == Image(data, ".png", 48, 64)


def test_a_callers_graph_gets_every_kind_as_sent() -> None:
    clear = encode(Pillow.new("RGBA", (4, 4), (255, 0, 0, 0)))
    moving = encode(photo(9, 9), "GIF", save_all=True, append_images=[photo(9, 9)])
    assert read(clear, as_sent=True) == Image(clear, ".png", 4, 4)
    assert read(moving, as_sent=True) == Image(moving, ".gif", 9, 9)


def test_a_callers_graph_gets_a_heic_as_a_png_that_keeps_its_transparency() -> None:
    image = read(encode(Pillow.new("RGBA", (64, 48), (200, 30, 30, 100)), "HEIF"), as_sent=True)
    assert (image.suffix, image.warnings) == (".png", ())
    assert pixels(image).getpixel((5, 5)) == (200, 30, 30, 100)


def test_the_size_told_is_the_size_shown() -> None:
    turned = Pillow.Exif()
    turned[0x0112] = 6
    for kind in ("JPEG", "PNG", "TIFF"):
        image = read(encode(PHOTO, kind, exif=turned))
        assert (image.width, image.height) == (64, 48)


@pytest.mark.parametrize("as_sent", [False, True])
def test_a_heic_that_a_phone_held_sideways_took_stands_upright(as_sent: bool) -> None:
    turned = Pillow.Exif()
    turned[0x0112] = 6
    picture = Pillow.new("RGB", (96, 64), (0, 0, 200))
    picture.paste((200, 0, 0), (0, 0, 48, 64))  # left as the sensor lies, above as the photo is seen
    image = read(encode(picture, "HEIF", exif=turned.tobytes()), as_sent=as_sent)
    assert (image.width, image.height) == pixels(image).size == (64, 96)
    above, below = (color_at(pixels(image), 32, y) for y in (10, 86))
    assert above[0] > 190
    assert below[2] > 190


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF"])
def test_a_cut_file_is_refused(kind: str) -> None:
    data = encode(PHOTO, kind)
    for length in (len(data) // 2, len(data) - 24):
        assert "send" in refusal(data[:length])


def test_a_png_with_one_wrong_byte_is_refused() -> None:
    data = bytearray(PNG)
    data[len(data) // 2] ^= 1
    assert "damaged" in refusal(bytes(data))
    checksum = bytearray(PNG)  # its pixels decode all the same
    checksum[-13] ^= 1
    assert "damaged" in refusal(bytes(checksum))


def test_too_many_bytes_are_refused_before_they_are_decoded() -> None:
    small = SETTINGS.model_copy(update={"max_image_bytes": len(PNG) - 1})
    assert f"has {len(PNG)} bytes" in refusal(PNG, settings=small)
    limit = f"at most {len(PNG) - 1} are accepted (MAX_IMAGE_MB {(len(PNG) - 1) / 1e6:g})"
    assert limit in refusal("!" * 2 * len(PNG), settings=small)
    assert read(PNG, settings=SETTINGS.model_copy(update={"max_image_bytes": len(PNG)})).data == PNG


def test_too_many_pixels_are_refused_from_the_header() -> None:
    small = SETTINGS.model_copy(update={"max_image_pixels": 48 * 64 - 1})
    message = refusal(PNG, settings=small)
    assert "is 48x64 pixels" in message
    assert "at most 0.003071 megapixels" in message
    header_only = encode(Pillow.new("1", (9000, 9000)))[:60]
    assert "MAX_IMAGE_MEGAPIXELS" in refusal(header_only)
    bomb = bytearray(PNG)
    bomb[16:24] = (60000).to_bytes(4, "big") * 2
    bomb[29:33] = zlib.crc32(bomb[12:29]).to_bytes(4, "big")
    assert "MAX_IMAGE_MEGAPIXELS" in refusal(bytes(bomb))


def test_all_frames_of_an_animation_count_where_all_are_used() -> None:
    moving = encode(photo(9, 9), "GIF", save_all=True, append_images=[photo(9, 9)])
    small = SETTINGS.model_copy(update={"max_image_pixels": 100})
    assert read(moving, settings=small).width == 9
    assert "9x9 x 2 frames" in refusal(moving, settings=small, as_sent=True)


def test_a_strip_is_refused_and_a_panorama_is_not() -> None:
    assert "16 times" in refusal(encode(Pillow.new("RGB", (2000, 2))))
    assert "16 times" in refusal(encode(Pillow.new("RGB", (2, 33))))
    assert read(encode(Pillow.new("RGB", (160, 10)))).width == 160


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=150, deadline=None)
@given(
    source=st.sampled_from(
        [encode(PHOTO, kind) for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")]
    ),
    changes=st.lists(st.tuples(st.floats(0, 0.99), st.integers(0, 255)), max_size=8),
    text=st.text(max_size=40),
)
def test_no_damaged_file_and_no_text_escapes_as_anything_but_a_refusal(
    source: bytes, changes: list[tuple[float, int]], text: str
) -> None:
    damaged = bytearray(source)
    for place, value in changes:
        damaged[int(place * place * len(damaged))] = value
    assert verdict(bytes(damaged)).startswith("image ")
    assert verdict(text if not text.strip().lower().startswith("http") else "").startswith("image ")


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF", "HEIF"])
def test_a_wrong_byte_anywhere_gives_a_picture_or_a_refusal(kind: str) -> None:
    data = encode(PHOTO, kind)
    for place in range(0, 400, 2):
        assert verdict(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :]).startswith("image ")


def verdict(source: bytes | str) -> str:
    try:
        return f"image {read(source).suffix}"
    except ImageRejected as refused:
        return refused.message


class Site(BaseHTTPRequestHandler):
    """A web site with good and bad pictures; /trickle takes 30 s."""

    told: ClassVar[dict[str, str]] = {}

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        Site.told = dict(self.headers)
        if path == "/trickle":
            self._write(b"HTTP/1.1 200 OK\r\n\r\n")
            self._trickle(PNG[:600])
        elif path == "/trickle-head":
            self._trickle(b"HTTP/1.1 200 OK\r\nX-Slow: slow")
        elif path == "/late":
            time.sleep(0.6)
            self._write(b"HTTP/1.1 200 OK\r\n\r\n")
            self._trickle(PNG[:600])
        elif path == "/moved":
            self._answer(302, b"", Location="/photo.png")
        elif path == "/moved-home":
            os.environ.pop("RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS")  # from here on this site counts as private
            self._answer(302, b"", Location=f"http://{self.headers['Host']}/photo.png?token=HIDDEN")
        elif path == "/moved-to-file":
            self._answer(302, b"", Location="file:///etc/passwd?token=HIDDEN")
        elif path == "/endless":
            self.send_response(200)
            self.end_headers()
            all(self._write(bytes(300_000)) for _ in range(1000))
        else:
            self._answer(*PAGES.get(path, (404, b"not here")))

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self._write(body)

    def _trickle(self, data: bytes) -> None:
        for position in range(len(data)):
            if not self._write(data[position : position + 1]):
                return
            time.sleep(0.05)

    def _write(self, data: bytes) -> bool:
        try:
            self.wfile.write(data)
        except OSError:
            return False
        return True

    def log_message(self, *_: Any) -> None:
        pass


PAGES = {
    "/photo.png": (200, PNG),
    "/%C3%BC%20%E7%8C%AB.png": (200, PNG),
    "/page": (200, b"<html><body>log in</body></html>"),
    "/empty": (200, b""),
    "/cut": (200, PNG[: len(PNG) // 2]),
    "/forbidden": (403, b"expired"),
    "/broken": (500, b""),
}


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def private_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS", "true")


@pytest.mark.usefixtures("private_allowed")
def test_a_url_is_fetched_also_through_a_redirect(site: str) -> None:
    assert read(f"{site}/photo.png").data == PNG
    assert read(f"{site}/ü%20猫.png?name=ü&signature=a%2Fb%3D#top").data == PNG
    assert read(f" {site.replace('http', 'HTTP')}/moved?x=1").data == PNG


@pytest.mark.usefixtures("private_allowed")
@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/absent.png", "HTTP 404"),
        ("/forbidden?signature=HIDDEN", "HTTP 403"),
        ("/broken", "HTTP 500"),
        ("/page", "a web page"),
        ("/empty", "is empty"),
        ("/cut", "cut short or damaged"),
    ],
)
def test_a_url_without_a_picture_is_refused_with_the_reason(site: str, path: str, words: str) -> None:
    message = refusal(site + path)
    assert words in message
    assert "HIDDEN" not in message


@pytest.mark.usefixtures("private_allowed")
def test_a_download_over_the_limit_is_refused_declared_or_not(site: str) -> None:
    small = SETTINGS.model_copy(update={"max_image_bytes": 400})
    assert f"has {len(PNG)} bytes" in refusal(f"{site}/photo.png", settings=small)
    tracemalloc.start()
    assert "has 401 bytes or more; at most 400" in refusal(f"{site}/endless", settings=small)
    assert tracemalloc.get_traced_memory()[1] < 30_000_000  # of 300 MB
    tracemalloc.stop()
    whole = SETTINGS.model_copy(update={"max_image_bytes": len(PNG)})
    assert read(f"{site}/photo.png", settings=whole).data == PNG
    assert Site.told["User-Agent"] == "hunyuan-video-worker"
    assert Site.told["Accept-Encoding"] == "identity"


@pytest.mark.usefixtures("private_allowed")
@pytest.mark.parametrize("path", ["/trickle", "/trickle-head", "/late"])
def test_a_trickling_download_ends_at_its_deadline_and_leaves_no_thread(site: str, path: str) -> None:
    started = time.monotonic()
    assert "takes longer than 0.3 s" in refusal(site + path, fetch_seconds=0.3)
    assert time.monotonic() - started < 10
    deadline = time.monotonic() + 6
    while any(thread.name == "download" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_private_address_is_refused_vaguely_and_logged_exactly(site: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        message = refusal(site.replace("//", "//me:secret@") + "/photo.png?signature=HIDDEN")
    assert "cannot be fetched from that address" in message
    assert "127.0.0.1" not in message
    assert "non-public address 127.0.0.1" in caplog.text
    assert "HIDDEN" not in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/x",
        "http://no-such-host.invalid/x",
        "http://",
        "https://host:port/x",
        "http://[broken/x",
        "http://" + "a" * 300 + "/x",
    ],
)
def test_addresses_that_lead_nowhere_are_refused(url: str) -> None:
    assert "cannot be fetched from that address" in refusal(url)


@pytest.mark.usefixtures("private_allowed")
def test_a_server_that_is_not_there_is_refused_without_its_signature_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/a.png?signature=HIDDEN"
        with caplog.at_level(logging.WARNING):
            assert "cannot be fetched from that address" in refusal(url)
    assert "refused" in caplog.text
    assert "HIDDEN" not in caplog.text


@pytest.mark.usefixtures("private_allowed")
def test_a_redirect_to_a_private_address_is_refused(site: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert "cannot be fetched from that address" in refusal(f"{site}/moved-home")
    assert "non-public address 127.0.0.1" in caplog.text


@pytest.mark.usefixtures("private_allowed")
def test_a_redirect_to_a_local_file_is_refused_without_its_query_in_the_log(
    site: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert "cannot be fetched from that address" in refusal(f"{site}/moved-to-file")
    assert "file:///etc/passwd" in caplog.text
    assert "HIDDEN" not in caplog.text


TEXT = base64.b64encode(PNG).decode()
LINES = textwrap.wrap(TEXT, 76)


@pytest.mark.parametrize(
    "text",
    [
        f" \n{TEXT}\n ",
        f'"{TEXT}"',
        f"'{TEXT}'",
        f"b'{TEXT}'",
        f'b"{TEXT}"',
        f"`{TEXT}`",
        f"base64,{TEXT}",
        f"image/png;base64,{TEXT}",
        f"data:base64,{TEXT}",
        f"DATA:image/png;charset=utf-8;BASE64,{TEXT}",
        "\r\n".join(LINES),
        "\\n".join(LINES),
        " ".join(LINES),
        TEXT.replace("+", " "),
        quote(TEXT, safe=""),
        TEXT.replace("/", "\\/"),
        TEXT.rstrip("="),
        TEXT.translate({ord("+"): "-", ord("/"): "_"}),
        "\ufeff" + TEXT,
        "\n   ".join(LINES),
        f"base64: {TEXT}",
        f"png;base64,{TEXT}",
        f"data:;base64,{TEXT}",
        f"data:image/*;base64,{TEXT}",
        f'data:image/png;name="my, photo.png";base64,{TEXT}',
        f"data: image/png; base64, {TEXT}",
        f"data:image/png;base64,data:image/png;base64,{TEXT}",
        f"data:image/png;base64,{quote(TEXT, safe='')}",
        f"data:text/plain;base64,{TEXT}",
    ],
    ids=range(29),
)
def test_base64_that_was_damaged_on_its_way_is_healed(text: str) -> None:
    assert read(text).data == PNG


@pytest.mark.parametrize(
    ("text", "healed"),
    [
        (f"{'A' * 16} {'B' * 16}", "A" * 16 + "B" * 16),
        (f"{'A' * 16} {'B' * 16} B", "A" * 16 + "B" * 17),
        (f"{'A' * 16} {'B' * 17}", f"{'A' * 16}+{'B' * 17}"),
        (f"{'A' * 15} {'B' * 15}", f"{'A' * 15}+{'B' * 15}"),
        (f"{'A' * 16} {'B' * 17} {'C' * 9}", f"{'A' * 16}+{'B' * 17}+{'C' * 9}"),
        ("A\tB\r\nC", "ABC"),
        ("A\\nB\\rC\\/", "ABC/"),
        ("A-_%2B==", "A+/+"),
    ],
)
def test_spaces_are_plus_signs_or_between_lines_of_one_length(text: str, healed: str) -> None:
    assert _heal(text) == healed


@pytest.mark.parametrize("text", [f"{TEXT.rstrip('=')}!", "AAAA!", "AAA!", "A", "AA\0A", "\u00e9AAA"], ids=range(6))
def test_text_with_a_letter_too_many_is_no_base64(text: str) -> None:
    assert "neither base64" in refusal(text)


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        ("size", "is so large", "image is so large"),
        ("pixels", "", "has too many pixels; at most 0.003 megapixels are accepted (MAX_IMAGE_MEGAPIXELS)"),
        ("pixels", "is 9x9 pixels", "is 9x9 pixels; at most 0.003 megapixels"),
        ("slow", "", "longer than 30 s to decode"),
        ("dead", "", "memory it may take; at most 0.003 megapixels"),
        ("broken", "OSError", f"damaged ({len(PNG)} bytes)"),
    ],
    ids=range(6),
)
def test_what_the_decoder_says_is_told_with_what_is_allowed(
    kind: str, text: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Image:
        raise Unfit(kind, text)

    monkeypatch.setattr(SHARED, "ask", fail)
    assert words in refusal(PNG, settings=SETTINGS.model_copy(update={"max_image_pixels": 3000}))


@pytest.mark.parametrize(
    "path",
    [
        "photo.png",
        "C:\\Users\\me\\photo.jpg",
        "./in/my photo.jpeg",
        "~/a.webp",
        "/loras/a.png",
        "www.example.org/a.png",
        "//example.org/a.png",
    ],
)
def test_a_path_is_named_as_one(path: str) -> None:
    assert "name or path" in refusal(path)


def test_a_url_with_a_space_says_so() -> None:
    assert "%20" in refusal("https://example.org/my photo.png")


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"%PDF-1.7", "a PDF"),
        (b"PK\x03\x04", "an archive"),
        (b"ID3\x04", "a sound"),
        (b"RIFF\0\0\0\0WAVEfmt ", "a sound"),
        (b"\0\0\0 ftypmp42", "a video"),
        (b"\0\0\0 ftypheic", "cut short or damaged"),
        (b'{"error": "no"}', "JSON"),
        (b"8BPS", "a Photoshop file"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
    ],
)
def test_kinds_of_files_that_are_no_image_are_told_apart(start: bytes, kind: str) -> None:
    assert f"is {kind}" in refusal(start + b"\0" * 40)


def profile_of_other_colors() -> bytes:
    """sRGB with the primaries of red and green exchanged, under another name."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    named = srgb.replace("sRGB".encode("utf-16-be"), "mine".encode("utf-16-be"))
    return named.replace(b"rXYZ", b"____", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"____", b"gXYZ", 1)


def test_a_profile_of_other_colors_than_srgb_is_applied_as_a_viewer_does() -> None:
    red = Pillow.new("RGB", (8, 8), (200, 30, 30))
    image = read(encode(red, icc_profile=profile_of_other_colors()))
    assert color_at(pixels(image), 4, 4)[1] > 150
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, b"no profile"):
        same = encode(red, icc_profile=profile)
        assert read(same).data == same
    assert "icc_profile" not in pixels(read(encode(red, "TIFF", icc_profile=srgb))).info


def display_p3() -> bytes:
    """sRGB's profile with the primaries of Display P3 as ICC has them, adapted to D50."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    primaries = {
        b"rXYZ": (0.51512, 0.2412, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.1571, 0.06657, 0.78407),
    }
    for tag, xyz in primaries.items():
        (place,) = struct.unpack_from(">I", profile, profile.index(tag) + 4)
        struct.pack_into(">3i", profile, place + 8, *(round(value * 65536) for value in xyz))
    return bytes(profile).replace("sRGB".encode("utf-16-be"), "mine".encode("utf-16-be"))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "AVIF", "HEIF"])
def test_a_wide_gamut_photo_has_the_colors_that_a_viewer_shows(kind: str) -> None:
    photo_color, in_srgb = (200, 120, 90), (213, 115, 83)  # by the primaries of CSS Color 4
    data = encode(Pillow.new("RGB", (64, 48), photo_color), kind, icc_profile=display_p3(), quality=100)
    shown = color_at(pixels(read(data)), 20, 20)
    assert all(abs(one - other) <= 3 for one, other in zip(shown, in_srgb, strict=True)), shown


@pytest.mark.parametrize(
    "kind", ["PPM", "TGA", "ICO", "PCX", "SGI", "DDS", "EPS", "PDF", "ICNS", "JPEG2000", "IM", "XBM"]
)
def test_a_format_that_pillow_reads_and_nobody_needs_is_refused(kind: str) -> None:
    picture = Pillow.new("1" if kind == "XBM" else "RGB", (32, 32))
    data = base64.b64encode(encode(picture, kind)).decode()
    with pytest.raises(ImageRejected, match="send one of PNG, JPEG, WEBP"):
        load(data, "image", load_settings({}))


def test_a_png_with_a_wrong_checksum_is_damaged_wherever_that_is() -> None:
    whole = encode(Pillow.new("RGB", (32, 32)), "PNG", pnginfo=_comment())
    place = whole.index(b"tEXt") + 8
    broken = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
    for as_sent in (False, True):
        with pytest.raises(ImageRejected, match="image is "):
            load(base64.b64encode(broken).decode(), "image", load_settings({}), as_sent=as_sent)


def _comment() -> PngInfo:
    info = PngInfo()
    info.add_text("Comment", "a comment that no decoder needs")
    return info


@pytest.mark.parametrize(
    ("size", "shown"), [((40, 20), (0, 10, 40, 30)), ((20, 40), (10, 0, 30, 40)), ((10, 10), (0, 0, 40, 40))]
)
def test_a_frame_of_another_shape_is_filled_up_with_black(
    size: tuple[int, int], shown: tuple[int, int, int, int]
) -> None:
    sent = replace(read(encode(Pillow.new("RGB", size, (200, 100, 50)), "JPEG", quality=100)), warnings=("told",))
    framed = letterbox(sent, 40, 40, SETTINGS, lambda: None)
    assert (framed.suffix, framed.width, framed.height, framed.warnings) == (".png", 40, 40, ("told",))
    picture = pixels(framed).convert("RGB")
    assert (picture.size, picture.format or "PNG") == ((40, 40), "PNG")
    assert picture.point(lambda value: 255 if value > 9 else 0).getbbox() == shown
    assert color_at(picture, 20, 20) == pytest.approx((200, 100, 50), abs=3)


def test_a_framed_picture_is_upright_and_white_where_it_was_clear() -> None:
    turned = Pillow.Exif()
    turned[0x0112] = 6
    sent = Image(encode(Pillow.new("RGBA", (20, 10), (255, 0, 0, 0)), exif=turned), ".png", 10, 20)
    picture = pixels(letterbox(sent, 40, 40, SETTINGS, lambda: None))
    assert [color_at(picture, x, 20) for x in (9, 20, 31)] == [(0, 0, 0), (255, 255, 255), (0, 0, 0)]


def test_a_picture_that_cannot_be_framed_is_refused_as_image() -> None:
    for data, words in ((PNG, "megapixels"), (b"hello", "not a readable image (5 bytes)")):
        small = SETTINGS.model_copy(update={"max_image_pixels": 9})
        with pytest.raises(ImageRejected) as caught:
            letterbox(Image(data, ".png", 48, 64), 40, 40, small, lambda: None)
        assert caught.value.details == {"field": "image"}
        assert caught.value.message.startswith("image ")
        assert words in caught.value.message


def test_what_a_frame_is_made_for_can_be_given_up() -> None:
    def check() -> None:
        raise JobCancelled("no more")

    with pytest.raises(JobCancelled):
        letterbox(Image(encode(Pillow.new("RGB", (4000, 4000))), ".png", 1, 1), 4000, 4000, SETTINGS, check)


def test_transparency_survives_a_profile_of_its_own() -> None:
    image = read(encode(Pillow.new("RGBA", (4, 4), (255, 0, 0, 0)), icc_profile=display_p3()))
    assert (image.suffix, color_at(pixels(image), 2, 2)) == (".png", (255, 255, 255))
    assert "white" in image.warnings[0]
    half = read(encode(Pillow.new("RGBA", (4, 4), (200, 40, 40, 255)), icc_profile=display_p3()))
    assert color_at(pixels(half), 2, 2) != (200, 40, 40)


@pytest.mark.timeout(20)
def test_base64_among_endless_spaces_is_read_or_refused_at_once() -> None:
    assert read("\n" + " " * 1_000_000 + TEXT[:40] + "\n" + " " * 1_000_000 + TEXT[40:]).data == PNG
    assert "send" in refusal("\nA" + " " * 2_000_000 + "A")
