"""A job's input: what is accepted, what is refused, and in which words."""

import json
import traceback
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker import config
from worker.errors import InvalidInput
from worker.input.loras import Lora
from worker.input.request import DEFAULT_GRAPH_ONLY, TRAINED_SIZES, Request, leaves_folder, parse

SETTINGS = config.read({})
LEAST = {"image": "aW1hZ2U=", "prompt": "waves"}
GRAPH = {"1": {"class_type": "LoadImage", "inputs": {"image": "in.png"}}}


def refused(job_input: object) -> dict[str, str]:
    with pytest.raises(InvalidInput) as caught:
        parse(job_input, SETTINGS)
    fields: dict[str, str] = caught.value.details["fields"]
    assert all(f"{field}: {fault}" in caught.value.message for field, fault in fields.items())
    return fields


def test_an_image_and_a_prompt_are_enough() -> None:
    request = parse(LEAST, SETTINGS)
    assert (request.num_frames, request.fps, request.steps, request.cfg, request.shift) == (25, 24.0, 20, 1.0, 7.0)
    assert (request.width, request.height, request.output, request.frame_format) == (None, None, "both", "auto")
    assert request.picture == ("image", "aW1hZ2U=")


def test_all_faults_are_named_at_once_with_limit_value_and_nearest_name() -> None:
    faults = refused({"promt": "waves", "num_frames": 500, "width": 721, "output": "gif", "steps": 0})
    assert faults == {
        "image": "is required (or image_url)",
        "promt": "unknown field, did you mean prompt?",
        "num_frames": "must be a whole number from 1 to 129, got 500",
        "width": "must be a multiple of 16 from 64 to 2048 (nearest: 720 or 736), got 721",
        "output": "must be one of both, frames, video, got 'gif'",
        "steps": "must be a whole number from 1 to 100, got 0",
    }


@pytest.mark.parametrize(
    ("field", "value", "stored"),
    [
        ("num_frames", "16", 16),
        ("num_frames", 16.0, 16),
        ("fps", "23.976", 23.976),
        ("seed", str(2**64 - 1), 2**64 - 1),
        ("width", 64, 64),
        ("height", 2048, 2048),
        ("negative_prompt", "", ""),
    ],
)
def test_a_value_is_read_as_the_caller_means_it(field: str, value: object, stored: object) -> None:
    assert getattr(parse({**LEAST, field: value}, SETTINGS), field) == stored


REFUSED: dict[str, tuple[object, ...]] = {
    "num_frames": (0, 130, 16.5, True, "many", [], {}, "", "1e1000", float("nan"), 10**300),
    "fps": (0.9, 120.1, float("inf"), "nan", False, 10**400),
    "steps": (0, 101, -1),
    "seed": (-2, 2**64, 10**300, "0x10"),
    "width": (48, 2064, 100, "wide", True),
    "height": (48, 2064, 100, "tall", True),
    "cfg": (-0.1, 30.1),
    "shift": (-0.1, 101),
    "resolution": ("1080p", 360, "HD"),
    "frame_format": ("gif", ""),
    "prompt": (" \n\t", "", 5, ["waves"], "x" * 10_001, "\ud800"),
    "negative_prompt": ("x" * 10_001, 5, "\ud800"),
    "image": ("", "  ", 5, [1, 2], {"data": "x"}, "\ud800"),
    "images": ([], [{"name": "a.png", "image": "x"}]),
    "workflow": ("[]", "not JSON", [], 5),
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in REFUSED.items() for value in values])
def test_a_value_out_of_its_rule_is_refused_under_its_own_name(field: str, value: object) -> None:
    assert field in refused({**LEAST, field: value})


@pytest.mark.parametrize(
    "field", ["negative_prompt", "seed", "num_frames", "width", "resolution", "workflow", "images"]
)
def test_null_is_as_good_as_not_given(field: str) -> None:
    default = Request.model_fields[field].default
    request = parse({**LEAST, field: None}, SETTINGS)
    assert field == "seed" or getattr(request, field) == default


def test_each_clip_has_a_seed_that_javascript_can_hold() -> None:
    seeds = {parse(LEAST, SETTINGS).seed for _ in range(20)}
    assert len(seeds) > 1
    assert all(0 <= seed < 2**53 for seed in seeds)


def test_the_setting_limits_the_frames_and_their_default() -> None:
    small = SETTINGS.model_copy(update={"max_frames": 9})
    assert parse(LEAST, small).num_frames == 9
    with pytest.raises(InvalidInput, match="num_frames: must be a whole number from 1 to 9, got 10"):
        parse({**LEAST, "num_frames": 10}, small)


@pytest.mark.parametrize("frames", range(1, 130))
def test_the_model_delivers_at_least_the_frames_asked_for_and_less_than_four_more(frames: int) -> None:
    length = parse({**LEAST, "num_frames": frames}, SETTINGS).form(1, 1).length
    delivered = 4 * ((length - 1) // 4) + 1
    assert length == delivered
    assert frames <= delivered < frames + 4


def test_one_picture_is_needed_and_one_is_enough() -> None:
    assert "image" in refused({"prompt": "waves"})
    assert "image_url" in refused({**LEAST, "image_url": "https://example.org/a.png"})
    address = {"prompt": "waves", "image_url": "HTTPS://example.org/a.png"}
    assert parse(address, SETTINGS).picture == ("image_url", "HTTPS://example.org/a.png")


@pytest.mark.parametrize("address", ["ftp://example.org/a.png", "file:///etc/passwd", "example.org/a.png", "http://"])
def test_an_image_url_is_a_web_address(address: str) -> None:
    assert "image_url" in refused({"prompt": "waves", "image_url": address})


@pytest.mark.parametrize("side", ["width", "height"])
def test_resolution_and_a_side_exclude_each_other(side: str) -> None:
    assert "resolution" in refused({**LEAST, "resolution": "480p", side: 720})


@pytest.mark.parametrize(
    ("resolution", "picture", "size"),
    [
        ("480p", (1920, 1080), (848, 480)),
        ("480p", (1080, 1920), (480, 848)),
        ("480p", (1000, 1000), (640, 640)),
        ("720p", (4000, 3000), (1104, 832)),
        ("720p", (3000, 4000), (832, 1104)),
        ("720p", (3000, 2000), (1168, 784)),
        ("720p", (5000, 10), (1456, 624)),
        ("720p", (1, 1), (960, 960)),
    ],
)
def test_resolution_picks_the_trained_size_nearest_in_aspect(
    resolution: str, picture: tuple[int, int], size: tuple[int, int]
) -> None:
    assert parse({**LEAST, "resolution": resolution}, SETTINGS).form(*picture).sampled == size


def test_every_trained_size_is_one_a_caller_may_ask_for() -> None:
    for width, height in (size for sizes in TRAINED_SIZES.values() for size in sizes):
        assert parse({**LEAST, "width": width, "height": height}, SETTINGS).form(1, 1).sampled == (width, height)


def test_a_picture_that_the_crop_spoils_is_warned_of() -> None:
    upright = parse({**LEAST, "width": 720, "height": 1280}, SETTINGS)
    assert upright.form(720, 1280).warnings == ()
    assert upright.form(1000, 1400).warnings == ()
    (warning,) = upright.form(1920, 1080).warnings
    assert warning is not None
    assert "1920x1080" in warning
    assert "68%" in warning
    assert "without width" in warning
    assert parse({**LEAST, "resolution": "720p"}, SETTINGS).form(1920, 1080).warnings == ()


def test_a_workflow_needs_neither_prompt_nor_image() -> None:
    request = parse({"workflow": GRAPH}, SETTINGS)
    assert (request.workflow, request.picture, request.images) == (GRAPH, None, ())


def test_worker_comfyuis_request_is_accepted() -> None:
    images = [{"name": "in.png", "image": "data:image/png;base64,aW1hZ2U="}, {"name": "sub/b.png", "image": "aW1h"}]
    request = parse({"workflow": GRAPH, "images": images}, SETTINGS)
    assert [image.model_dump() for image in request.images] == images


@pytest.mark.parametrize("field", DEFAULT_GRAPH_ONLY)
def test_a_field_that_a_workflow_ignores_is_warned_of(field: str) -> None:
    request = parse({"workflow": GRAPH, field: "no such value"}, SETTINGS)
    (warning,) = request.warnings
    assert field in warning
    assert "workflow" in warning


def test_a_node_of_the_name_prompt_is_no_wrapping() -> None:
    graph = {"prompt": {"class_type": "LoadImage", "inputs": {"image": "in.png"}}}
    assert parse({"workflow": graph}, SETTINGS).workflow == graph


def test_an_input_may_be_its_json_text() -> None:
    assert parse(json.dumps({**LEAST, "seed": 5}), SETTINGS) == parse({**LEAST, "seed": 5}, SETTINGS)


GRAIN = Lora(name="a.safetensors", strength=0.5)


def test_without_a_prompt_the_answer_tells_which_was_used() -> None:
    request = parse({"image": "aW1hZ2U="}, SETTINGS)
    assert request.facts(request.form(1, 1), ())["settings"]["prompt"] == request.prompt != ""
    told = parse(LEAST, SETTINGS)
    assert "prompt" not in told.facts(told.form(1, 1), ())["settings"]


@pytest.mark.parametrize(
    ("sent", "became"),
    [
        ({"num_inference_steps": 8}, {"steps": 8}),
        ({"guidance_scale": 6}, {"cfg": 6}),
        ({"guidance": "6"}, {"cfg": 6}),
        ({"flow_shift": 5}, {"shift": 5}),
        ({"length": 49}, {"num_frames": 49}),
        ({"video_length": 49}, {"num_frames": 49}),
        ({"frame_rate": 16}, {"fps": 16}),
        ({"size": "1280*720"}, {"width": 1280, "height": 720}),
        ({"size": "720x1280"}, {"width": 720, "height": 1280}),
        ({"resolution": "1280x720"}, {"width": 1280, "height": 720}),
        ({"duration": 5}, {"num_frames": 121}),
        ({"duration": "2", "fps": 16}, {"num_frames": 33, "fps": 16}),
        ({"steps": 8, "num_inference_steps": 8}, {"steps": 8}),
        ({"lora_pairs": [{"high": "a.safetensors", "high_weight": 0.5}]}, {"loras": (GRAIN,)}),
        ({"lora_pairs": [{"low": "a.safetensors"}]}, {"loras": (Lora(name="a.safetensors", strength=1),)}),
        (
            {"lora_pairs": [{"high": "a.safetensors", "low": "a.safetensors", "high_weight": 0.5, "low_weight": 0.5}]},
            {"loras": (GRAIN,)},
        ),
    ],
    ids=str,
)
def test_another_workers_name_is_understood_and_told(sent: dict[str, Any], became: dict[str, Any]) -> None:
    request = parse({**LEAST, **sent}, SETTINGS)
    assert {name: getattr(request, name) for name in became} == became
    understood = request.facts(request.form(1, 1), ())["settings"]["understood"]
    assert set(understood) == sent.keys() - {"fps", "steps"}


@pytest.mark.parametrize("name", ["image_base64", "image_path", "first_frame_image"])
def test_an_image_comes_under_other_workers_names_and_faults_name_what_was_sent(name: str) -> None:
    assert parse({name: "aW1hZ2U="}, SETTINGS).picture == (name, "aW1hZ2U=")


@pytest.mark.parametrize(
    ("sent", "named"),
    [
        ({"steps": 8, "num_inference_steps": 9}, ("num_inference_steps", "steps")),
        ({"guidance": 1, "guidance_scale": 2}, ("guidance", "cfg")),
        ({"width": 640, "size": "1280x720"}, ("size", "width")),
        ({"num_frames": 25, "duration": 5}, ("duration", "num_frames")),
        ({"image": "aW1hZ2U=", "image_base64": "b3RoZXI="}, ("image_base64", "image")),
    ],
    ids=str,
)
def test_two_names_for_one_thing_that_disagree_are_both_named(sent: dict[str, Any], named: tuple[str, str]) -> None:
    ((field, fault),) = refused({**LEAST, **sent}).items()
    assert field == named[0]
    assert named[1] in fault


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"size": "large"}, "size"),
        ({"size": 5}, "size"),
        ({"size": "1281x720"}, "width"),
        ({"duration": "long"}, "duration"),
        ({"duration": 0}, "duration"),
        ({"duration": float("nan")}, "duration"),
        ({"duration": 60}, "num_frames"),
        ({"aspect_ratio": "wide"}, "aspect_ratio"),
        ({"aspect_ratio": "0:1"}, "aspect_ratio"),
        ({"aspect_ratio": "16:9", "width": 640}, "aspect_ratio"),
    ],
    ids=str,
)
def test_another_workers_value_that_cannot_be_used_is_refused(sent: dict[str, Any], field: str) -> None:
    assert field in refused({**LEAST, **sent})


@pytest.mark.parametrize(
    ("preset", "ratio", "size"),
    [("balanced", "16:9", (1280, 720)), ("balanced", "9:16", (720, 1280)), ("fast", "16:9", (848, 480))],
)
def test_an_aspect_ratio_chooses_among_the_trained_sizes(preset: str, ratio: str, size: tuple[int, int]) -> None:
    request = parse({**LEAST, "preset": preset, "aspect_ratio": ratio}, SETTINGS)
    assert request.form(500, 500).sampled == size


@pytest.mark.parametrize(
    ("fields", "picture", "size"),
    [
        ({}, (1080, 1920), (720, 1280)),
        ({}, (1920, 1080), (1280, 720)),
        ({"width": 640}, (1000, 500), (640, 320)),
        ({"height": 640}, (500, 1000), (320, 640)),
        ({"width": 64}, (16, 1), (64, 64)),
    ],
    ids=str,
)
def test_what_is_left_out_of_a_size_follows_the_image(
    fields: dict[str, int], picture: tuple[int, int], size: tuple[int, int]
) -> None:
    assert parse({**LEAST, **fields}, SETTINGS).form(*picture).sampled == size


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("promt", "prompt"),
        ("num_frame", "num_frames"),
        ("cfg_scale", "cfg"),
        ("frames", "num_frames"),
        ("img", "image"),
    ],
)
def test_a_name_near_to_a_field_is_refused_with_that_hint(name: str, meant: str) -> None:
    assert refused({**LEAST, name: 5})[name] == f"unknown field, did you mean {meant}?"


def test_a_name_like_no_field_is_a_warning_where_the_request_is_complete() -> None:
    assert parse({**LEAST, "priority": 1, "sampler": "euler"}, SETTINGS).warnings == (
        "priority, sampler: unknown, so ignored",
    )
    assert refused({"priority": 1})["priority"] == "unknown field"


@pytest.mark.parametrize(
    "name", ["", "../a.png", "/a.png", "a/../../b.png", "..\\a.png", "C:\\a.png", "a\0.png", "x" * 256]
)
def test_the_name_of_an_image_stays_inside_the_input_folder(name: str) -> None:
    assert "images[0].name" in refused({"workflow": GRAPH, "images": [{"name": name, "image": "aW1h"}]})


def test_two_images_of_one_name_are_refused() -> None:
    image = {"name": "a.png", "image": "aW1h"}
    assert "different names" in refused({"workflow": GRAPH, "images": [image, image]})["images"]


@pytest.mark.parametrize("name", ["a.png", "sub/a.png", "a..b.png", "...", "ü 猫.png", "[output]"])
def test_a_plain_name_leaves_no_folder(name: str) -> None:
    assert not leaves_folder(name)


def test_long_and_private_values_never_come_back() -> None:
    secret = "s3cret" * 4000
    fields = ("image", "image_url", "prompt", "negative_prompt", "output", "steps", secret)
    with pytest.raises(InvalidInput) as caught:
        parse({**dict.fromkeys(fields, secret), "images": [{"name": secret, "image": 5}]}, SETTINGS)
    reply = json.dumps(caught.value.answer())
    assert len(reply) < 4000
    assert "s3cret" * 20 not in "".join(traceback.format_exception(caught.value))
    assert secret[:100] not in reply
    for private in ("image_url", "prompt", "negative_prompt"):
        assert "s3cret" not in caught.value.details["fields"][private]


def test_a_request_in_a_log_shows_no_picture_and_no_words() -> None:
    shown = repr(parse({**LEAST, "negative_prompt": "rain"}, SETTINGS))
    assert not any(word in shown for word in ("aW1hZ2U=", "waves", "rain"))


def test_very_many_faults_are_counted_not_listed() -> None:
    faults = refused({**LEAST, **{f"field{number}": 1 for number in range(5000)}})
    assert faults["input"] == "has 5000 unknown fields"
    assert len(faults) <= 51
    entries = [{"name": f"{number}.png"} for number in range(60)]
    assert refused({"workflow": GRAPH, "images": entries}) == {
        **{f"images[{number}].image": "is required" for number in range(50)},
        "input": "has 10 more errors",
    }


def test_a_list_of_files_and_a_key_may_be_so_long_and_no_longer() -> None:
    settings = SETTINGS.model_copy(update={"api_nodes": True})
    files = [{"name": f"{number}.png", "image": "YQ=="} for number in range(101)]
    whole = {"workflow": GRAPH, "images": files[:100], "comfy_org_api_key": "k" * 1000}
    assert len(parse(whole, settings).images) == 100
    for name, value in (("images", files), ("comfy_org_api_key", "k" * 1001)):
        with pytest.raises(InvalidInput) as caught:
            parse({**whole, name: value}, settings)
        assert [*caught.value.details["fields"]] == [name]


def test_so_are_those_within_a_list() -> None:
    faults = refused({"workflow": {"1": {"class_type": "A", "inputs": {}}}, "images": [{"image": 5}] * 90})
    assert faults["input"] == "has 130 more errors"
    assert len(faults) <= 51


@pytest.mark.parametrize("job_input", [None, [], "text", 5, True, float("nan"), b"{}"])
def test_an_input_that_is_no_object_is_refused(job_input: object) -> None:
    with pytest.raises(InvalidInput, match=r"^input: must be an object"):
        parse(job_input, SETTINGS)


def test_every_field_is_described_for_the_documents() -> None:
    schema = Request.model_json_schema()
    assert all(field["description"] for field in schema["properties"].values())
    assert schema["properties"]["steps"].items() >= {"minimum": 1, "maximum": 100, "default": 20}.items()


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**64, 2**63, 10**400]),
    st.builds(lambda: 10**5000),
    st.builds(lambda: nested(5000)),
    st.floats(),
    st.text(alphabet=st.characters(exclude_categories=()), max_size=20),
    st.sampled_from(["\ud800", "\0", "16", "1" * 5000, "nan", "both", "https://example.org", "../x", "9" * 400]),
    st.binary(max_size=8),
    st.binary(max_size=8).map(bytearray),
    st.decimals(),
    st.tuples(),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
NAMES = st.sampled_from(list(Request.model_fields)) | st.text(
    alphabet=st.characters(exclude_categories=()), max_size=10
)
INPUTS = (
    VALUES
    | st.dictionaries(NAMES, VALUES, max_size=8)
    | st.dictionaries(NAMES, VALUES, max_size=4).map(lambda extra: {**LEAST, **extra})
    | st.dictionaries(NAMES | st.integers() | st.binary() | st.none(), SCALARS, max_size=4)
)


@settings(max_examples=200, deadline=None)
@given(job_input=INPUTS)
def test_no_input_whatever_yields_anything_but_a_request_or_an_invalid_input(job_input: object) -> None:
    answer, request = {}, None
    try:
        request = parse(job_input, SETTINGS)
    except InvalidInput as error:
        answer = error.answer()
    assert len(json.dumps(answer, ensure_ascii=False).encode()) < 20_000
    if request:
        assert 1 <= request.num_frames <= SETTINGS.max_frames
        assert 0 <= request.seed < 2**64
        assert request.workflow is not None or (request.picture and request.prompt.strip())


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        (
            {"loras": [{"name": "a", "strength": 11}]},
            "loras[0].strength: must be a number from -10 to 10, got a number",
        ),
        ({"loras": [{"name": "a", "strenght": 1}]}, "loras[0].strenght: unknown field"),
        ({"loras": [{"strength": 1}]}, "loras[0].name: is required"),
        ({"loras": 5}, 'loras: must be a list of at most 8 objects {"name", "strength"}'),
        ({"loras": ["a"] * 9}, 'loras: must be a list of at most 8 objects {"name", "strength"}'),
        ({"lora_pairs": [{"high": "a", "low": "b"}]}, "lora_pairs: entry 1 has a high and a low LoRA that differ"),
        ({"lora_pairs": [{"name": "a"}]}, "lora_pairs: entry 1 has neither high nor low"),
        ({"lora_pairs": ["a"]}, "lora_pairs: must be a list of objects"),
        ({"lora_pairs": [{"high": "a"}], "loras": ["b"]}, "lora_pairs: conflicts with loras, which it means here"),
        ({"lora": ["a"]}, "lora: unknown field, did you mean loras?"),
    ],
)
def test_a_lora_that_cannot_be_meant_is_named(fields: dict[str, Any], fault: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse({**LEAST, **fields}, SETTINGS)
    assert fault in caught.value.message


@pytest.mark.parametrize(
    ("sent", "faults"),
    [
        ({"upscale": "4k"}, {"upscale": "must be one of 720p, 1080p, got '4k'"}),
        ({"interpolate": 3}, {"interpolate": "must be one of 2, 4, got 3"}),
        ({"fps": float("inf")}, {"fps": "must be a number from 1 to 120, got inf"}),
        ({"steps": True}, {"steps": "must be a whole number from 1 to 100, got true"}),
        ({"steps": 10**30}, {"steps": "must be a whole number from 1 to 100, got a huge number"}),
        ({"steps": 2**63}, {"steps": f"must be a whole number from 1 to 100, got {2**63}"}),
        ({"steps": 2**64}, {"steps": "must be a whole number from 1 to 100, got a huge number"}),
        ({"width": 640, "size": "1280x721"}, {"size": "conflicts with width, which it means here: send one of the two",
         "height": "must be a multiple of 16 from 64 to 2048 (nearest: 720 or 736), got 721"}),
        ({"duration": float("inf")}, {"duration": "must be a number of seconds above 0, got inf"}),
        ({"steps": {}}, {"steps": "must be a whole number from 1 to 100, got an object"}),
        ({"steps": "x" * 61}, {"steps": f"must be a whole number from 1 to 100, got '{'x' * 57}...'"}),
        ({"steps": "x" * 60}, {"steps": f"must be a whole number from 1 to 100, got '{'x' * 60}'"}),
        ({"width": 64, "height": 48}, {"height": "must be a multiple of 16 from 64 to 2048, got 48"}),
        ({"width": 2047}, {"width": "must be a multiple of 16 from 64 to 2048 (nearest: 2032 or 2048), got 2047"}),
        ({"prompt": 5}, {"prompt": "must be non-blank text of at most 10000 characters, got a number"}),
        ({"prompt": " " * 9}, {"prompt": "must be non-blank text of at most 10000 characters, got text of 9 characters"}),  # noqa: E501
        ({"negative_prompt": [1]}, {"negative_prompt": "must be text of at most 10000 characters, got a list"}),
        ({"size": 5}, {"size": "must be WIDTHxHEIGHT in pixels, as in 1280x720, got 5"}),
        ({"duration": True}, {"duration": "must be a number of seconds above 0, got true"}),
        ({"duration": "long"}, {"duration": "must be a number of seconds above 0, got 'long'"}),
        ({"resolution": "480p", "width": 64, "height": 64}, {"resolution": "cannot be combined with width or height"}),
        ({"aspect_ratio": "1:1", "height": 64}, {"aspect_ratio": "cannot be combined with height"}),
        ({"lora_pairs": 5}, {"lora_pairs": 'must be a list of objects {"high", "high_weight"}; better send loras'}),
    ],
    ids=str,
)  # fmt: skip
def test_a_fault_says_what_is_allowed_and_what_was_sent(sent: dict[str, Any], faults: dict[str, str]) -> None:
    assert refused({**LEAST, **sent}) == faults


@pytest.mark.parametrize(
    ("sent", "field", "word"),
    [
        ({"duration": 1e9}, "duration", "too long"),
        ({"duration": 1e5, "fps": 10}, "duration", "too long"),
        ({"duration": 99_999, "fps": 10}, "num_frames", "from 1 to 129"),
        ({"duration": 5, "fps": -1}, "duration", "fps"),
        ({"image_url": "https://a.example/b c"}, "image_url", "%20"),
        ({"image_url": "https://a.example/b", "image": "YQ=="}, "image_url", "image"),
        ({"images": []}, "images", "workflow"),
        ({"preset": "fast", "upscale": "1080p"}, "upscale", "balanced or quality"),
        ({"lora_pairs": [{"high": "a"}, {}]}, "lora_pairs", "entry 2 has neither"),
        ({"lora_pairs": [{"high": "a", "low": "b"}]}, "lora_pairs", "entry 1 has a high and a low LoRA that differ"),
        ({"lora_pairs": [{"high": "a", "low": "a", "low_weight": 2}]}, "lora_pairs", "that differ"),
        ({"comfy_org_api_key": "k", "workflow": GRAPH}, "comfy_org_api_key", "API_NODES"),
    ],
    ids=str,
)
def test_what_does_not_go_together_is_named_by_its_field(sent: dict[str, Any], field: str, word: str) -> None:
    base = {} if "image_url" in sent or "workflow" in sent else LEAST
    ((name, fault),) = ((name, fault) for name, fault in refused({**base, **sent}).items() if name != "fps")
    assert name == field
    assert word in fault


@pytest.mark.parametrize(
    ("sent", "understood"),
    [
        ({"num_inference_steps": 8}, {"num_inference_steps": "steps 8"}),
        ({"guidance_scale": "6"}, {"guidance_scale": "cfg 6"}),
        ({"size": "1280*720"}, {"size": "width 1280 height 720"}),
        ({"size": " 64 X 2048 "}, {"size": "width 64 height 2048"}),
        ({"resolution": "640\u00d7480"}, {"resolution": "width 640 height 480"}),
        ({"duration": 0.5}, {"duration": "num_frames 13"}),
        ({"duration": 20, "fps": 1}, {"duration": "num_frames 21"}),
        ({"duration": 0.001}, {"duration": "num_frames 1"}),
        ({"duration": 2, "frame_rate": 10}, {"duration": "num_frames 21", "frame_rate": "fps 10"}),
        ({"seed": -1}, {"seed": "a random seed"}),
        ({"seed": "-1"}, {"seed": "a random seed"}),
        ({"lora_pairs": [{"low": "a"}]}, {"lora_pairs": "loras"}),
        ({"image_base64": "aW1hZ2U=", "image": None}, {"image_base64": "image"}),
        ({"steps": None, "num_inference_steps": None}, {}),
    ],
)
def test_the_answer_says_what_another_workers_names_became(sent: dict[str, Any], understood: dict[str, str]) -> None:
    request = parse({**LEAST, **sent}, SETTINGS)
    assert request.facts(request.form(1, 1))["settings"]["understood"] == understood
    assert 0 <= request.seed < 2**53


def test_the_answers_facts_are_all_that_the_clip_was_made_with() -> None:
    request = parse({**LEAST, "preset": "fast", "upscale": "720p", "num_frames": 9, "fps": 12, "seed": 3}, SETTINGS)
    form = request.form(848, 480)
    loras = (Lora(name="a.safetensors", strength=0.5),)
    assert request.facts(form, ("easycache",), loras, "sage") == {
        "seed": 3,
        "width": 1280,
        "height": 720,
        "num_frames": 9,
        "fps": 12.0,
        "settings": {
            "preset": "fast",
            "steps": 12,
            "cfg": 1.0,
            "shift": 7.0,
            "fit": "crop",
            "upscale": "720p",
            "interpolate": None,
            "options": ["easycache"],
            "attention": "sage",
            "understood": {},
            "model": "hunyuanvideo1.5_480p_i2v_step_distilled_fp8_scaled.safetensors",
            "loras": [{"name": "a.safetensors", "strength": 0.5}],
        },
    }
    assert request.facts(form)["settings"]["attention"] == "comfyui"


@pytest.mark.parametrize(
    ("sent", "image", "lost"),
    [
        ({}, (1000, 250), "42%"),
        ({"aspect_ratio": "1:1"}, (1280, 720), "44%"),
        ({"width": 640, "height": 640}, (640, 1280), "50%"),
        ({"width": 640, "height": 640, "fit": "pad"}, (640, 1280), ""),
        ({"width": 640, "height": 640}, (944, 640), ""),
        ({"width": 640, "height": 640}, (976, 640), "34%"),
    ],
    ids=str,
)
def test_a_crop_that_loses_over_a_third_is_told_with_its_share(
    sent: dict[str, Any], image: tuple[int, int], lost: str
) -> None:
    warnings = parse({**LEAST, **sent}, SETTINGS).form(*image).warnings
    assert bool(warnings) == bool(lost)
    for warning in warnings:
        assert f"removes {lost} of the image" in warning
        assert f"the image is {image[0]}x{image[1]} and the clip " in warning
        assert '"fit": "pad"' in warning
        assert ("without width" in warning) == bool(sent)


@pytest.mark.parametrize(
    ("path", "leaves"),
    [
        *(("a.png", False), ("a/b.png", False), ("a..b/c", False), ("/a", True), ("a/../b", True), ("..", True)),
        *(("C:/a", True), ("C:a", True), ("a\\b", True), ("\\a", True), ("a\0b", True), ("//host/a", True)),
    ],
)
def test_a_path_that_leaves_its_folder_on_any_system_is_one(path: str, leaves: bool) -> None:
    assert leaves_folder(path) == leaves


def test_hints_are_for_names_near_a_fields_and_the_first_fifty() -> None:
    assert refused({**LEAST, "Noise_Seed": 1, "num_frame": 9, "priority": 1}) == {
        "Noise_Seed": "unknown field, did you mean seed?",
        "num_frame": "unknown field, did you mean num_frames?",
        "priority": "unknown field",
    }
    assert parse({**LEAST, "priority": 1, "x" * 70: 1}, SETTINGS).warnings == (
        f"priority, {'x' * 57}...: unknown, so ignored",
    )
    assert "input" not in refused({**LEAST, "promt": 1, **{f"f{number}": 1 for number in range(49)}})
    assert refused({**LEAST, **{f"f{number}": 1 for number in range(51)}})["input"] == "has 51 unknown fields"
