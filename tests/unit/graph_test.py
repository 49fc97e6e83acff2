"""The graph: which input gets which value, and what is refused or changed in a caller's own."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker import config
from worker.errors import WorkflowRejected
from worker.graph import Graph, Rules, adapt, fill
from worker.input.request import leaves_folder, parse

SETTINGS = config.read({})
ANY = Rules(allow="*")
FULL = {
    "image": "aW1hZ2U=",
    "prompt": 'a "quoted" wave 猫 {"json": 1}',
    "negative_prompt": "rain",
    "seed": 2**64 - 1,
    "num_frames": 16,
    "fps": 23.976,
    "steps": 15,
    "cfg": 6,
    "shift": 5,
    "width": 480,
    "height": 848,
}
PREFIX = {"filename_prefix": "job/frame"}
Node = dict[str, Any]


def filled(frame_saver: bool = False, attention: str = "comfyui", **fields: Any) -> Graph:
    request = parse({**FULL, **fields}, SETTINGS)
    how: dict[str, Any] = {"frame_saver": frame_saver, "attention": attention}
    return fill(request, request.form(1, 1), image_name="job/start.png", prefix="job", **how)


def adapted(
    workflow: Any, uploads: dict[str, str] | None = None, image_name: str | None = None, rules: Rules = ANY
) -> Graph:
    before = copy.deepcopy(workflow)
    graph = adapt(workflow, uploads=uploads or {}, image_name=image_name, prefix="job", rules=rules)
    assert workflow == before
    return graph


def refusal(workflow: Any, image_name: str | None = None) -> WorkflowRejected:
    with pytest.raises(WorkflowRejected) as caught:
        adapt(workflow, uploads={}, image_name=image_name, prefix="job", rules=ANY)
    assert json.dumps(caught.value.answer(), ensure_ascii=False).encode()
    return caught.value


def node(class_type: str, title: str = "", **inputs: Any) -> Node:
    return {"class_type": class_type, "inputs": inputs} | ({"_meta": {"title": title}} if title else {})


@pytest.mark.parametrize(
    ("codec", "told"), [({"codec": "h265"}, "is 'h265'"), ({"codec": ["1", 0]}, "is ["), ({}, "is missing")]
)
def test_a_video_saver_takes_no_codec_but_those_that_comfyui_has(codec: dict[str, Any], told: str) -> None:
    graph = chain()
    graph["3"] = node("SaveVideo", "Mine", video=["1", 0], filename_prefix="a", **codec)
    error = refusal(graph)
    assert "node 3 (Mine): codec" in error.message
    assert told in error.message
    assert "auto or h264" in error.message
    graph["3"]["inputs"]["codec"] = "h264"
    assert inputs_of(adapted(graph), "SaveVideo")[0]["codec"] == "h264"


def test_a_node_keeps_its_meta_only_where_it_is_an_object() -> None:
    graph = chain()
    graph["1"]["_meta"], graph["2"]["_meta"] = "text", {"title": "Mine"}
    nodes = adapted(graph).nodes
    assert ("_meta" in nodes["1"], nodes["2"]["_meta"]) == (False, {"title": "Mine"})


def chain(image: Any = "in.png", prefix: Any = "ComfyUI") -> dict[str, Node]:
    return {"1": node("LoadImage", image=image), "2": node("SaveImage", images=["1", 0], filename_prefix=prefix)}


def inputs_of(graph: Graph, class_type: str) -> list[Node]:
    return [found["inputs"] for found in graph.nodes.values() if found["class_type"] == class_type]


def test_every_value_of_the_request_reaches_its_node() -> None:
    graph = filled()
    assert inputs_of(graph, "LoadImage") == [{"image": "job/start.png"}]
    assert [inputs["text"] for inputs in inputs_of(graph, "CLIPTextEncode")] == [FULL["prompt"], "rain"]
    conditioning = inputs_of(graph, "HunyuanVideo15ImageToVideo")[0]
    assert (conditioning["width"], conditioning["height"], conditioning["length"]) == (480, 848, 17)
    assert inputs_of(graph, "ModelSamplingSD3")[0]["shift"] == 5
    assert inputs_of(graph, "CFGGuider")[0]["cfg"] == 6
    assert inputs_of(graph, "BasicScheduler")[0]["steps"] == 15
    assert inputs_of(graph, "RandomNoise")[0]["noise_seed"] == 2**64 - 1
    assert inputs_of(graph, "ImageFromBatch")[0]["length"] == 16
    assert inputs_of(graph, "CreateVideo")[0]["fps"] == 23.976


def test_the_positive_prompt_is_the_one_that_conditions_positively() -> None:
    graph = filled()
    conditioning = inputs_of(graph, "HunyuanVideo15ImageToVideo")[0]
    texts = [graph.nodes[conditioning[side][0]]["inputs"]["text"] for side in ("positive", "negative")]
    assert texts == [FULL["prompt"], "rain"]


def test_the_shift_changes_the_schedule_as_well_as_the_model() -> None:
    graph = filled()
    models = [inputs_of(graph, user)[0]["model"][0] for user in ("BasicScheduler", "CFGGuider")]
    assert [graph.nodes[model]["class_type"] for model in models] == ["ModelSamplingSD3", "ModelSamplingSD3"]


def test_video_and_frames_are_cut_to_the_length_and_saved_in_the_jobs_folder() -> None:
    graph = filled()
    (cut,) = (node_id for node_id, found in graph.nodes.items() if found["class_type"] == "ImageFromBatch")
    assert inputs_of(graph, "CreateVideo")[0]["images"] == [cut, 0]
    assert inputs_of(graph, "SaveImage") == [{"images": [cut, 0], "filename_prefix": "job/frame"}]
    assert inputs_of(graph, "SaveVideo")[0]["filename_prefix"] == "job/clip"
    assert graph.video_node is not None
    assert graph.frames_node is not None
    assert graph.nodes[graph.video_node]["class_type"] == "SaveVideo"
    assert graph.nodes[graph.frames_node]["class_type"] == "SaveImage"


@pytest.mark.parametrize(
    ("frame_format", "encoding", "quality"), [("auto", "jpeg", 95), ("jpeg", "jpeg", 95), ("webp", "webp", 90)]
)
def test_where_comfyui_has_the_frame_saver_it_writes_what_will_be_sent(frame_format, encoding, quality) -> None:
    graph = filled(frame_saver=True, frame_format=frame_format)
    (inputs,) = inputs_of(graph, "SaveFrames")
    assert inputs["filename_prefix"] == "job/frame"
    assert (inputs["format"], inputs["quality"]) == (encoding, quality)
    assert graph.title(graph.frames_node or "") == "Save frames"
    assert not inputs_of(graph, "SaveImage")


def test_the_frame_saver_keeps_every_pixel_where_png_is_asked_for() -> None:
    assert inputs_of(filled(frame_saver=True, frame_format="png"), "SaveFrames")[0]["format"] == "png"
    assert not inputs_of(filled(frame_saver=True, output="video"), "SaveFrames")


@pytest.mark.parametrize("upscale", [None, "1080p"])
def test_every_diffusion_model_samples_with_the_attention_chosen(upscale: str | None) -> None:
    graph = filled(attention="cudnn", upscale=upscale)
    loaders = {node_id for node_id, found in graph.nodes.items() if found["class_type"] == "UNETLoader"}
    users = [
        found
        for found in graph.nodes.values()
        for value in found["inputs"].values()
        if value in [[one, 0] for one in loaders]
    ]
    assert [user["class_type"] for user in users] == ["SetAttention"] * len(loaders)
    assert {user["inputs"]["attention"] for user in users} == {"cudnn"}
    assert not inputs_of(filled(upscale=upscale), "SetAttention")


def test_frames_that_nobody_wants_are_not_saved_and_the_video_always_is() -> None:
    video_only = filled(output="video")
    assert video_only.frames_node is None
    assert not inputs_of(video_only, "SaveImage")
    assert inputs_of(video_only, "SaveVideo")
    assert inputs_of(filled(output="frames"), "SaveVideo")


def test_one_job_leaves_nothing_in_the_next_ones_graph() -> None:
    first = filled(output="video")
    first.nodes["1"]["inputs"]["image"] = "spoilt.png"
    assert inputs_of(filled(), "LoadImage") == [{"image": "job/start.png"}]
    assert filled() == filled()


def test_a_node_is_called_by_title_else_class_else_id() -> None:
    graph = Graph({"1": node("LoadImage", "My\npicture"), "2": node("SaveImage"), "3": "?", "4": {"_meta": []}})
    assert [graph.title(node_id) for node_id in "12345"] == ["My\\npicture", "SaveImage", "3", "4", "5"]


def test_an_editors_file_is_refused_with_the_way_to_export_the_right_one() -> None:
    error = refusal({"nodes": [{"id": 1, "type": "LoadImage"}], "links": [], "version": 0.4})
    assert "Workflow > Export (API)" in error.message


@pytest.mark.parametrize(
    "broken",
    ["text", None, [], {}, {"class_type": 5, "inputs": {}}, {"class_type": "X", "inputs": []}],
)
def test_what_is_no_node_is_refused_by_its_id(broken: object) -> None:
    error = refusal({**chain(), "77": broken})
    assert "node 77" in error.message
    assert error.details["node_id"] == "77"


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "workflow",
    [
        {},
        {str(number): node("Note") for number in range(2001)},
        {"1": node("Note", text=nested(40))},
        {"1": node("Note", text=nested(5000))},
        {"1": node("Note", value=float("nan"))},
        {"1": node("Note", value=b"bytes")},
        {"\ud800\n": 5},
    ],
    ids=["empty", "many nodes", "deep", "very deep", "nan", "bytes", "surrogate"],
)
def test_a_graph_that_could_not_be_sent_is_refused(workflow: Any) -> None:
    assert refusal(workflow).code == "workflow_rejected"


def test_an_image_goes_to_the_node_that_names_it() -> None:
    workflow = {**chain("a.png"), "3": node("LoadImageMask", image="b.png", channel="alpha")}
    graph = adapted(workflow, {"a.png": "job/a.png", "b.png": "job/b.png"})
    assert inputs_of(graph, "LoadImage") == [{"image": "job/a.png"}]
    assert inputs_of(graph, "LoadImageMask") == [{"image": "job/b.png", "channel": "alpha"}]
    assert graph.warnings == ()


def test_the_start_picture_goes_to_each_image_loader_that_names_no_other() -> None:
    workflow = {**chain("/home/me/a.png"), "3": node("LoadImage", image="b.png"), "4": node("LoadImageOutput")}
    graph = adapted(workflow, {"b.png": "job/b.png"}, "job/start.png")
    assert [inputs["image"] for inputs in inputs_of(graph, "LoadImage")] == ["job/start.png", "job/b.png"]
    assert inputs_of(graph, "LoadImageOutput") == [{"image": "job/start.png"}]


def test_a_picture_that_no_node_can_take_is_refused() -> None:
    workflow = {"1": node("EmptyImage"), "2": node("SaveImage", images=["1", 0], filename_prefix="x")}
    assert "LoadImage" in refusal(workflow, image_name="job/start.png").message


def test_images_that_no_node_names_are_warned_of() -> None:
    graph = adapted(chain("a.png"), {"a.png": "job/a.png", "z.png": "job/z.png"})
    assert graph.warnings == ("images: no node uses 'z.png'",)


def test_words_that_equal_an_images_name_stay_words() -> None:
    workflow = {**chain("cat"), "3": node("CLIPTextEncode", text="cat")}
    graph = adapted(workflow, {"cat": "job/cat.png"})
    assert inputs_of(graph, "LoadImage") == [{"image": "job/cat.png"}]
    assert inputs_of(graph, "CLIPTextEncode") == [{"text": "cat"}]


PATHS = [
    "/etc/passwd",
    "../output/v.png",
    "a/../../b.png",
    "..\\b.png",
    "C:\\b.png",
    "\\\\host\\b.png",
    "b.png [output]",
    "b.png [temp]",
    "b\0.png",
    ["9", 0],
    {"__value__": "/etc/passwd"},
    5,
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("class_type", "field"),
    [
        ("LoadImage", "image"),
        ("LoadImageMask", "image"),
        ("LoadVideo", "file"),
        ("LoadAudio", "audio"),
        ("LoadLatent", "latent"),
    ],
)
def test_a_file_outside_the_input_folder_is_refused_naming_node_and_fix(class_type: str, field: str, path: Any) -> None:
    error = refusal({"1": node(class_type, "My file", **{field: path}), "2": chain()["2"]})
    assert "node 1 (My file)" in error.message
    assert "input folder" in error.message
    assert error.details == {"node_id": "1", "node_title": "My file", "input": field}


@pytest.mark.parametrize("path", ["example.png", "sub/a.png", "clipspace/a.png [input]", "a..b.png"])
def test_a_file_of_the_input_folder_is_left_for_comfyui_to_find(path: str) -> None:
    assert inputs_of(adapted(chain(path)), "LoadImage") == [{"image": path}]


@pytest.mark.parametrize("path", ["/etc", "../models", "C:/x", {"__value__": "/etc"}])
def test_a_folder_outside_comfyui_is_refused(path: Any) -> None:
    error = refusal({**chain(), "3": node("ImageSaver", output_path=path)})
    assert error.details["input"] == "output_path"
    assert adapted({**chain(), "3": node("ImageSaver", output_path="clips")}).nodes["3"]["inputs"] == {
        "output_path": "clips"
    }


@pytest.mark.parametrize(
    ("own", "placed"),
    [
        ("ComfyUI", "job/ComfyUI"),
        ("X/a", "job/X/a"),
        (". ./..a ", "job/..a"),
        ("video/clip_%width%", "job/video/clip_%width%"),
        ("../../etc/x", "job/etc/x"),
        ("/abs/x", "job/abs/x"),
        ("..\\x", "job/x"),
        ("a/./ /../b", "job/a/b"),
        ("", "job/ComfyUI"),
        ("..", "job/ComfyUI"),
        ("a\0b", "job/ab"),
        ("猫" * 200, "job/" + "猫" * 33),
        ("/".join("abcdefghijkl"), "job/e/f/g/h/i/j/k/l"),
    ],
)
def test_a_saver_writes_into_the_jobs_folder_under_its_own_name(own: str, placed: str) -> None:
    assert inputs_of(adapted(chain(prefix=own)), "SaveImage")[0]["filename_prefix"] == placed


@pytest.mark.parametrize("prefix", [["9", 0], None, 5])
def test_a_prefix_that_is_no_text_is_replaced_with_a_warning(prefix: Any) -> None:
    graph = adapted(chain(prefix=prefix))
    assert inputs_of(graph, "SaveImage")[0]["filename_prefix"] == "job/ComfyUI"
    assert "SaveImage" in graph.warnings[0]


@pytest.mark.parametrize("preview", ["PreviewImage", "SaveImageWebsocket"])
def test_a_graph_of_previews_only_is_refused_naming_a_saver(preview: str) -> None:
    previewing = {"1": chain()["1"], "2": node(preview, images=["1", 0])}
    assert "SaveVideo" in refusal(previewing).message
    assert adapted({**previewing, "3": chain()["2"]}).nodes.keys() == {"1", "2", "3"}


def test_what_the_worker_does_not_know_is_kept() -> None:
    workflow = {**chain(), "5:3": {**node("CustomNode", "Mine", value=[1, "a", None]), "extra": True}}
    assert adapted(workflow).nodes["5:3"] == workflow["5:3"]


ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=()), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT | st.sampled_from([*PATHS[:9], "in.png"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(["image", "filename_prefix", "path", "images", "file"]) | ANY_TEXT
NODES = st.fixed_dictionaries(
    {
        "class_type": st.sampled_from(["LoadImage", "LoadVideo", "SaveImage", "PreviewImage"]) | ANY_TEXT,
        "inputs": st.dictionaries(FIELDS, JSON, max_size=4),
    },
    optional={"_meta": JSON | st.fixed_dictionaries({"title": JSON})},
)


@settings(max_examples=120, deadline=None)
@given(workflow=st.dictionaries(ANY_TEXT, NODES | JSON, max_size=4), image_name=st.none() | st.just("job/start.png"))
def test_no_graph_whatever_reads_or_writes_outside_or_yields_another_error(
    workflow: Any, image_name: str | None
) -> None:
    try:
        graph = adapt(workflow, uploads={"in.png": "job/in.png"}, image_name=image_name, prefix="job", rules=ANY)
    except WorkflowRejected as error:
        message = error.answer()["error"]
        graph = Graph({})
    else:
        message = json.dumps(graph.nodes)
    assert message.encode()
    for inputs in inputs_of(graph, "LoadImage"):
        assert "image" not in inputs or not leaves_folder(inputs["image"])
    for inputs in (found["inputs"] for found in graph.nodes.values()):
        prefix = inputs.get("filename_prefix", "job/nothing")
        assert prefix.startswith("job/")
        assert not leaves_folder(prefix)
        assert max(len(part.encode()) for part in prefix.split("/")) < 200


IMAGE = {"1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}}}


def saving(**inputs: Any) -> Node:
    return {**IMAGE, "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "a", **inputs}}}


def test_a_link_to_a_node_that_is_not_there_names_the_input_and_both_nodes() -> None:
    with pytest.raises(WorkflowRejected, match=r"node 2 \(SaveImage\): images comes from node 99, which the workflow"):
        adapted(saving(images=["99", 0]))


@pytest.mark.parametrize(
    ("source", "slot", "count"),
    [("LoadImage", 2, 2), ("LoadImage", -3, 2), ("LoadImage", 0.0, 2), ("SaveLoRA", 10**400, 0), ("Packs", 3, 3)],
)
def test_a_link_to_an_output_that_is_not_there_is_refused(source: str, slot: Any, count: int) -> None:
    """In an input that the class does not have, ComfyUI's prompt thread would die of it."""
    graph = {
        "1": {"class_type": source, "inputs": {}},
        "2": {"class_type": "PreviewAny", "inputs": {"no": ["1", slot]}},
    }
    with pytest.raises(WorkflowRejected, match=f"no comes from output .* of node 1, which has {count}"):
        adapted(graph, rules=Rules(outputs_of={"Packs": ("IMAGE",) * 3}.get))


@pytest.mark.parametrize(
    ("source", "slot"), [("LoadImage", 1), ("LoadImage", -1), ("KSampler", 0), ("LoadImage", "b"), ("Unknown", 99)]
)
def test_one_to_any_other_output_is_kept(source: str, slot: Any) -> None:
    graph = {"1": {"class_type": source, "inputs": {}}, "2": {"class_type": "SaveImage", "inputs": {"no": ["1", slot]}}}
    assert adapted(graph).nodes["2"]["inputs"]["no"] == ["1", slot]


@pytest.mark.parametrize(
    ("named", "sent"),
    [
        ("a.png [Input]", "a.png"),
        ("a.png[input]", "a.png"),
        ("a.png  [input] ", "a.png"),
        ("a.png", "a.png [input]"),
        ("a.png [input]", "a.png [input]"),
        ("./sub/a.png", "sub/a.png"),
        ("caf\u00e9.png", "cafe\u0301.png"),
    ],
)
def test_an_image_is_found_by_either_spelling_of_its_name(named: str, sent: str) -> None:
    graph = adapted(chain(named), {sent: "job/a.png"})
    assert inputs_of(graph, "LoadImage") == [{"image": "job/a.png"}]
    assert graph.warnings == ()


def test_a_name_for_the_files_to_save_is_no_image() -> None:
    graph = adapted(chain("a.png", prefix="a"), {"a.png": "job/a.png", "a": "job/b.png"})
    assert inputs_of(graph, "SaveImage")[0]["filename_prefix"] == "job/a"


@pytest.mark.parametrize("link", [[1, 0], ["1", "0"], [1, "0"]])
def test_a_link_whose_numbers_have_the_wrong_type_is_put_right(link: list[Any]) -> None:
    assert adapted(saving(images=link)).nodes["2"]["inputs"]["images"] == ["1", 0]


@pytest.mark.parametrize(
    "value", [[10**15, 0], [-1, 0], [512, 512], [True, 0], [1.0, 0], [[1], 0], [None, None]], ids=str
)
def test_what_is_no_link_to_a_node_is_kept(value: list[Any]) -> None:
    assert adapted({**saving(), "3": node("Mine", box=value)}).nodes["3"]["inputs"]["box"] == value


def test_a_number_too_large_for_json_is_a_refusal() -> None:
    assert "3" in refusal({**saving(), "3": node("Mine", box=[10**5000, 0])}).message


@pytest.mark.timeout(20)
def test_long_texts_take_no_long_time() -> None:
    spaces = "a" + " " * 1_000_000 + "a.png"
    graph = {**saving(), "3": node("CLIPTextEncode", text=spaces, image=spaces)}
    assert adapted(graph, {"a.png": "job/a.png"}).nodes["3"]["inputs"]["text"] == spaces


def test_a_node_without_inputs_has_none() -> None:
    bare = {"3": {"class_type": "EmptyImage"}, "4": {"class_type": "EmptyImage", "inputs": None}}
    nodes = adapted({**saving(), **bare}).nodes
    assert nodes["3"]["inputs"] == nodes["4"]["inputs"] == {}


def test_an_image_annotated_with_its_folder_is_the_uploaded_one() -> None:
    graph = saving()
    graph["1"]["inputs"]["image"] = "a.png [input]"
    assert adapted(graph, {"a.png": "job/a.png"}).nodes["1"]["inputs"]["image"] == "job/a.png"


def test_a_models_name_from_windows_is_the_one_that_comfyui_lists() -> None:
    graph = saving() | {
        "3": {"class_type": "LoraLoader", "inputs": {"lora_name": "style\\ink.safetensors", "text": "a\\b"}}
    }
    assert adapted(graph).nodes["3"]["inputs"] == {"lora_name": "style/ink.safetensors", "text": "a\\b"}


def test_a_value_that_json_does_not_have_names_its_node_and_input() -> None:
    with pytest.raises(WorkflowRejected, match=r"node 2 \(SaveImage\): scale holds a value .* NaN"):
        adapted(saving(scale=[1, float("nan")]))


@pytest.mark.parametrize(
    ("broken", "field"),
    [
        (node("Load3D", "Mine"), "class_type"),
        (node("SaveImage", "Mine", text=float("nan")), "text"),
        (node("SaveImage", "Mine", text="a", images=["9", 0]), "images"),
        (node("SaveVideo", "Mine", codec="vp9"), "codec"),
        (node("LoadImage", "Mine", image="/etc/passwd"), "image"),
        ({"class_type": "SaveImage", "inputs": [], "_meta": {"title": "Mine"}}, None),
        ({"class_type": 5, "inputs": {}, "_meta": {"title": "Mine"}}, None),
    ],
)
def test_a_refusal_names_node_title_and_input_for_programs_too(broken: Node, field: str | None) -> None:
    with pytest.raises(WorkflowRejected) as caught:
        adapt({**chain(), "7": broken}, uploads={}, image_name=None, prefix="job", rules=Rules(deny=["Load3D"]))
    assert caught.value.details == {"node_id": "7", "node_title": "Mine"} | ({"input": field} if field else {})
    assert caught.value.message.startswith("node 7 (Mine): ")
    assert field is None or f"{broken['class_type'] if field == 'class_type' else field}" in caught.value.message


@pytest.mark.parametrize(("field", "value"), [("class_type", 5), ("inputs", 5), ("inputs", [])])
def test_a_part_of_a_node_that_has_the_wrong_type_is_named(field: str, value: object) -> None:
    assert f"{field} must be" in refusal({"7": {**node("SaveImage"), field: value}}).message


def test_a_graph_may_be_as_large_and_as_deep_as_its_limits_and_no_larger() -> None:
    def many(count: int) -> dict[str, Node]:
        return {str(number): node("SaveImage") for number in range(count)}

    assert len(adapted(many(2000)).nodes) == 2000
    assert "2000 nodes, has 2001" in refusal(many(2001)).message
    assert "workflow: must have 1 to 2000 nodes, has 0" in refusal({}).message
    assert adapted({"1": node("SaveImage", a=nested(28))})
    assert "32 levels" in refusal({"1": node("SaveImage", a=nested(29))}).message


def test_previews_beside_a_saver_and_all_kinds_of_previews_alone() -> None:
    previews = {kind: node(kind, images=["1", 0]) for kind in ("PreviewImage", "MaskPreview", "SaveImageWebsocket")}
    assert "MaskPreview, PreviewImage, SaveImageWebsocket" in refusal({"1": chain()["1"], **previews}).message
    assert adapted({**chain(), **previews})


def test_what_the_graph_is_changed_by_has_titles_and_what_could_be_smaller_is_told() -> None:
    request = parse({**FULL, "loras": ["a", "b"]}, SETTINGS)
    how: dict[str, Any] = {"image_name": "a.png", "prefix": "job", "attention": "sage"}
    graph = fill(request, request.form(1, 1), loras=request.loras, options=["easycache"], **how)
    loader = next(name for name, found in graph.nodes.items() if found["class_type"] == "UNETLoader")
    titles = {graph.title(name) for name in graph.nodes}
    assert {"Set attention", f"LoRA 1 of {loader}", f"LoRA 2 of {loader}"} < titles
    assert len(titles) == len(graph.nodes)
    assert inputs_of(graph, "SaveImage") == [{"images": [*inputs_of(graph, "SaveImage")[0]["images"]]} | PREFIX]
    assert graph.smaller.startswith("a guess at what fits: num_frames 9 at 480x848")
    upscaled = {name: value for name, value in FULL.items() if name not in ("width", "height")}
    for fields, way in (({"upscale": "1080p"}, "leave upscale out"), ({"preset": "fast_720p"}, "use preset fast")):
        request = parse({**upscaled, **fields}, SETTINGS)
        assert fill(request, request.form(1, 1), image_name="a", prefix="b").smaller == way
