"""What the engine says it is, and makes: frames, sizes, rates, files and their names, and what its cache saves."""

import io
from fractions import Fraction
from typing import Any

import av
import pytest
from PIL import Image

from local.engine import Scenario, schemas, start
from local.engine.nodes import NODES, SAVERS
from tests.helpers import color_at
from tests.integration.engine_client import Client, default_graph, node, picture_graph, png

FRAMES = {"103": node("SaveImage", images=["8", 0], filename_prefix="frame")}


@pytest.fixture(scope="module")
def client():
    with start(scenario=Scenario(step_seconds=0.001)) as engine:
        client = Client(engine.url, engine.home)
        client.upload("start.png", png())
        yield client


def test_the_engine_says_that_it_is_not_comfyui(client):
    stats = client.get("/system_stats").json()
    assert "preview engine" in stats["system"]["stand_in"]
    assert stats["devices"][0]["name"] == "preview engine (no model, no GPU)"
    assert "stand-in" in client.get("/queue").headers["Server"]


def test_a_class_is_either_played_or_known_as_comfyuis_own(client):
    played = set(client.get("/object_info").json())
    assert played >= NODES.keys() | SAVERS.keys()
    assert not played & schemas.not_played()
    assert client.get("/object_info/NoSuchNode").json() == {}


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


@pytest.mark.parametrize(
    ("prefix", "path"),
    [
        ("plain", "plain_00001_.png"),
        ("a/b/c", "a/b/c_00001_.png"),
        ("%width%x%height%", "32x16_00001_.png"),
    ],
)
def test_a_prefix_becomes_a_name(client, prefix, path):
    (written,) = client.saved(picture_graph(filename_prefix=prefix), "3")
    assert written == client.home / "output" / path


def test_the_number_is_the_highest_there_is_plus_one(client):
    names = [client.saved(picture_graph(filename_prefix=prefix), "3")[0].name for prefix in ("n", "./n")]
    assert names == ["n_00001_.png", "n_00002_.png"]


@pytest.mark.parametrize("prefix", ["../escape", "/abs/escape"])
def test_a_prefix_that_leads_out_fails_in_its_node(client, prefix):
    error = client.failure(picture_graph(filename_prefix=prefix))
    assert "Saving image outside the output folder is not allowed" in error["exception_message"]


def test_an_identical_graph_is_answered_from_the_cache_without_writing(client):
    graph = default_graph({"102": {"filename_prefix": "same"}})
    (path,) = client.saved(graph, "102")
    path.unlink()
    assert client.saved(graph, "102") == [path]
    assert not path.exists()


def test_only_what_changed_runs_again(client):
    def cached(graph):
        return len(client.run(graph)["status"]["messages"][1][1]["nodes"])

    cached(default_graph({"102": {"filename_prefix": "one"}}))
    other_prefix = default_graph({"102": {"filename_prefix": "two"}})
    assert cached(other_prefix) == 17
    client.upload("start.png", png("blue"), overwrite="true")
    assert cached(other_prefix) == 10
    client.upload("start.png", png(), overwrite="true")


def test_a_graph_of_another_model_gives_pictures_of_its_size(client):
    graph = {
        "4": node("CheckpointLoaderSimple", ckpt_name="flux1-dev-fp8.safetensors"),
        "5": node("EmptyLatentImage", width=72, height=40, batch_size=2),
        "6": node("CLIPTextEncode", clip=["10", 1], text="a rocket"),
        "7": node("CLIPTextEncode", clip=["10", 1], text=""),
        "10": node(
            "LoraLoader", model=["4", 0], clip=["4", 1], lora_name="a/b.safetensors", strength_model=1, strength_clip=1
        ),
        "11": node("LoraLoaderModelOnly", model=["10", 0], lora_name="c.safetensors", strength_model=0.5),
        "3": node(
            "KSampler",
            model=["11", 0],
            seed=5,
            steps=4,
            cfg=1,
            sampler_name="euler",
            scheduler="simple",
            positive=["6", 0],
            negative=["7", 0],
            latent_image=["5", 0],
            denoise=1,
        ),
        "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
        "9": node("SaveImage", images=["8", 0], filename_prefix="other"),
        "12": node("PreviewImage", images=["9", 0]),
    }
    pictures = [Image.open(path) for path in client.saved(graph, "9")]
    assert [picture.size for picture in pictures] == [(72, 40)] * 2
    assert pictures[0].tobytes() != pictures[1].tobytes()


def test_a_mask_is_the_inverse_of_alpha(client):
    half = Image.new("RGBA", (20, 10), (0, 0, 0, 255))
    half.paste((0, 0, 0, 0), (0, 0, 10, 10))
    buffer = io.BytesIO()
    half.save(buffer, "PNG")
    client.upload("half.png", buffer.getvalue())
    graph = {
        "1": node("LoadImageMask", image="half.png", channel="alpha"),
        "2": node("MaskToImage", mask=["1", 0]),
        "3": node("SaveImage", images=["2", 0], filename_prefix="mask"),
    }
    (path,) = client.saved(graph, "3")
    mask = Image.open(path).convert("L")
    assert (mask.getpixel((5, 5)), mask.getpixel((15, 5))) == (255, 0)


def test_a_video_is_loaded_taken_apart_and_shown_as_text(client):
    (path,) = client.saved(default_graph({"101": {"fps": 12, "bit_depth": 10}}), "102")
    assert film(path)[3] == "yuv420p10le"
    (client.home / "input" / "clip.mp4").write_bytes(path.read_bytes())
    graph = {
        "1": node("LoadVideo", file="clip.mp4"),
        "2": node("GetVideoComponents", video=["1", 0]),
        "3": node("SaveImage", images=["2", 0], filename_prefix="part"),
        "4": node("PreviewAny", source=["2", 2]),
    }
    outputs = client.run(graph)["outputs"]
    assert len(outputs["3"]["images"]) == 5
    assert outputs["4"] == {"text": ["12.0"]}


def test_an_mp4_begins_with_its_index(client):
    (path,) = client.saved(default_graph({"102": {"filename_prefix": "fast"}}), "102")
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def add_node(listed, class_type, graph):
    """A node of the class, its inputs with a valid value each, and below it nodes that give what it links to."""
    inputs: dict[str, Any] = {}
    for entry in schemas.expand(listed[class_type]["input"], {"codec": "auto"}):
        if entry.upload:
            inputs[entry.name] = "clip.mp4" if entry.name == "file" else "start.png"
        elif entry.choices is not None:
            inputs[entry.name] = next(iter(entry.choices), "mine.safetensors")
        elif entry.type_name in VALUES:
            inputs[entry.name] = entry.options.get("default", VALUES[entry.type_name])
        elif entry.required:
            source, slot = SOURCES.get(entry.type_name, ("LoadImage", 0))
            add_node(listed, source, graph)
            inputs[entry.name] = [source, slot]
    graph[class_type] = node(class_type, **inputs)


VALUES: dict[str, Any] = {"STRING": "text", "BOOLEAN": True, "INT": 1, "FLOAT": 1.0}
SOURCES = {
    "MODEL": ("CheckpointLoaderSimple", 0),
    "CLIP": ("CheckpointLoaderSimple", 1),
    "VAE": ("CheckpointLoaderSimple", 2),
    "CONDITIONING": ("CLIPTextEncode", 0),
    "LATENT": ("EmptyLatentImage", 0),
    "MASK": ("LoadImage", 1),
    "NOISE": ("RandomNoise", 0),
    "GUIDER": ("BasicGuider", 0),
    "SAMPLER": ("KSamplerSelect", 0),
    "SIGMAS": ("BasicScheduler", 0),
    "VIDEO": ("CreateVideo", 0),
    "CLIP_VISION": ("CLIPVisionLoader", 0),
    "CLIP_VISION_OUTPUT": ("CLIPVisionEncode", 0),
    "CONTROL_NET": ("ControlNetLoader", 0),
    "STYLE_MODEL": ("StyleModelLoader", 0),
    "UPSCALE_MODEL": ("UpscaleModelLoader", 0),
    "LATENT_UPSCALE_MODEL": ("LatentUpscaleModelLoader", 0),
    "INTERP_MODEL": ("FrameInterpolationModelLoader", 0),
}


def test_every_class_that_is_listed_runs(client):
    (path,) = client.saved(default_graph({"102": {"filename_prefix": "for_loading"}}), "102")
    (client.home / "input" / "clip.mp4").write_bytes(path.read_bytes())
    listed = client.get("/object_info").json()
    failed = {}
    for class_type, schema in listed.items():
        graph: dict[str, Any] = {}
        add_node(listed, class_type, graph)
        if not schema["output_node"]:
            graph["shown"] = node("PreviewAny", source=[class_type, 0])
        event, data = client.run(graph)["status"]["messages"][-1]
        if event != "execution_success":
            failed[class_type] = data["exception_message"]
    assert failed == {}
