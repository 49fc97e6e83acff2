"""What the engine makes: frames, sizes, rates, files and their names, and what it takes from its cache."""

import io
from fractions import Fraction
from typing import Any

import av
import pytest
from PIL import Image

from local.engine import Scenario, start
from tests.helpers import color_at
from tests.integration.engine_client import Client, default_graph, node, picture_graph, png

FRAMES = {"103": node("SaveImage", images=["8", 0], filename_prefix="frame")}


@pytest.fixture(scope="module")
def client():
    with start(scenario=Scenario(step_seconds=0.001)) as engine:
        client = Client(engine.url, engine.home)
        client.upload("start.png", png())
        yield client


def film(path):
    """Frame count, size, rate and pixel format, by decoding."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_image() for frame in container.decode(stream)]
        return len(frames), frames[0].size, stream.average_rate, stream.codec_context.pix_fmt


@pytest.mark.parametrize(("length", "frames"), [(1, 1), (4, 1), (5, 5), (16, 13), (17, 17), (24, 21), (25, 25)])
def test_frames_delivered_are_the_next_lower_4k_plus_1(client, length, frames):
    (path,) = client.saved(default_graph({"78": {"length": length}, "127": {"noise_seed": length}}), "102")
    assert film(path)[0] == frames


@pytest.mark.parametrize(("asked", "delivered"), [((65, 79), (64, 64)), ((100, 60), (96, 48)), ((90, 160), (80, 160))])
def test_sides_are_floored_to_16(client, asked, delivered):
    (path,) = client.saved(default_graph({"78": {"width": asked[0], "height": asked[1]}}), "102")
    assert film(path)[1] == delivered


@pytest.mark.parametrize(("fps", "rate"), [(24, 24), (23.976, Fraction(2997, 125)), ("29.97", Fraction(2997, 100))])
def test_the_video_is_h264_at_the_asked_rate(client, fps, rate):
    (path,) = client.saved(default_graph({"101": {"fps": fps}}), "102")
    assert film(path)[2:] == (rate, "yuv420p")


def test_two_clips_of_a_batch_follow_one_another(client):
    (path,) = client.saved(default_graph({"78": {"batch_size": 2}}), "102")
    assert film(path)[0] == 10


def test_a_batch_is_cut_repeated_and_scaled(client):
    cut = {
        "a": node("ImageFromBatch", image=["8", 0], batch_index=1, length=3),
        "b": node("RepeatImageBatch", image=["a", 0], amount=2),
        "c": node("ImageScale", image=["b", 0], upscale_method="area", width=32, height=0, crop="disabled"),
        "d": node("SaveImage", images=["c", 0], filename_prefix="cut"),
    }
    pictures = [Image.open(path).copy() for path in client.saved(default_graph(**cut), "d")]
    assert [picture.size for picture in pictures] == [(32, 32)] * 6
    assert pictures[:3] == pictures[3:]


def test_one_seed_gives_the_same_pixels_again_and_another_seed_others(client):
    def frames(seed):
        client.post("/free", {"free_memory": True})
        return [
            path.read_bytes() for path in client.saved(default_graph({"127": {"noise_seed": seed}}, **FRAMES), "103")
        ]

    first = frames(1)
    assert frames(1) == first
    assert frames(2) != first
    assert len(set(first)) == 5


def test_frames_show_the_picture_and_a_mark_at_their_foot(client):
    client.upload("red.png", png("red"))
    changes: dict[str, dict[str, Any]] = {"80": {"image": "red.png"}, "78": {"width": 320, "height": 192, "length": 1}}
    (path,) = client.saved(default_graph(changes, **FRAMES), "103")
    frame = Image.open(path).convert("RGB")
    red, green, blue = color_at(frame, 160, 60)
    assert red > 200
    assert max(green, blue) < 60
    foot = frame.crop((0, 178, 320, 192)).convert("L")
    assert foot.getextrema() == (0, 255)


def test_the_picture_is_turned_upright_and_cropped_in_the_middle(client):
    half = Image.new("RGB", (90, 30), "white")
    half.paste("black", (0, 0, 30, 30))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by 90 degrees
    buffer = io.BytesIO()
    half.save(buffer, "JPEG", exif=exif, quality=95)
    client.upload("turned.jpg", buffer.getvalue())
    graph = picture_graph(filename_prefix="turned")
    graph["1"]["inputs"]["image"] = "turned.jpg"
    graph["2"]["inputs"].update(width=30, height=90, crop="disabled")
    picture = Image.open(client.saved(graph, "3")[0]).convert("L")
    assert (picture.getpixel((15, 10)), picture.getpixel((15, 80))) == (0, 255)


def test_a_picture_cut_short_is_loaded_and_one_that_is_none_fails_in_its_node(client):
    client.upload("cut.png", png(size=(300, 200))[:-40])
    assert client.run(default_graph({"80": {"image": "cut.png"}}))["status"]["completed"]
    client.upload("none.png", b"text")
    error = client.failure(default_graph({"80": {"image": "none.png"}}))
    assert (error["node_id"], error["exception_type"]) == ("80", "PIL.UnidentifiedImageError")


@pytest.mark.parametrize(
    ("mode", "fmt"),
    [("RGBA", "PNG"), ("L", "PNG"), ("P", "PNG"), ("1", "PNG"), ("CMYK", "JPEG")]
    + [("RGB", fmt) for fmt in ("WEBP", "BMP", "TIFF", "GIF", "AVIF")],
)
def test_every_kind_of_picture_is_taken(client, mode, fmt):
    top, foot = ends_of_loaded(client, Image.linear_gradient("L").convert(mode), fmt)
    assert top < 90
    assert foot > 165


def test_deep_grey_is_clipped_to_white(client):
    ramp = Image.linear_gradient("L").convert("I").point(lambda level: level * 257)
    assert ends_of_loaded(client, ramp.convert("I;16"), "PNG") == (255, 255)


def ends_of_loaded(client, picture, fmt):
    """The grey of the first and the last row of a picture that was loaded, scaled and saved."""
    buffer = io.BytesIO()
    picture.save(buffer, fmt)
    graph = picture_graph(filename_prefix=f"{picture.mode[0]}{fmt}")
    graph["1"]["inputs"]["image"] = client.upload(f"{picture.mode[0]}.{fmt}", buffer.getvalue()).json()["name"]
    (path,) = client.saved(graph, "3")
    return tuple(Image.open(path).convert("L").getpixel((16, row)) for row in (0, 15))


@pytest.mark.parametrize(
    ("saver", "inputs", "name", "animated"),
    [
        ("SaveWEBM", {"codec": "vp9", "fps": 24, "crf": 32}, "s_00001_.webm", True),
        ("SaveAnimatedWEBP", {"fps": 24, "lossless": False, "quality": 80, "method": "fastest"}, "s_00001_.webp", True),
        ("SaveAnimatedPNG", {"fps": 24, "compress_level": 4}, "s_00001_.png", True),
        ("SaveImage", {}, "s_00001_.png", False),
    ],
)
def test_each_saver_lists_its_files_under_images(client, saver, inputs, name, animated):
    save = node(saver, images=["8", 0], filename_prefix=f"{saver}/s", **inputs)
    entry = client.run(default_graph({}, s=save))
    output = entry["outputs"]["s"]
    assert output["images"][0] == {"filename": name, "subfolder": saver, "type": "output"}
    assert output.get("animated", []) == ([True] if animated else [])
    path = client.file(output["images"][0])
    frames = film(path)[0] if saver == "SaveWEBM" else getattr(Image.open(path), "n_frames", 1)
    assert (frames, len(output["images"])) == ((5, 1) if animated else (1, 5))


def test_previews_go_to_temp_under_a_random_name(client):
    output = client.run(default_graph({}, p=node("PreviewImage", images=["8", 0])))["outputs"]["p"]
    assert [file["type"] for file in output["images"]] == ["temp"] * 5
    assert output["images"][0]["filename"].startswith("ComfyUI_temp_")
