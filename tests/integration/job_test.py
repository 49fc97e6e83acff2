"""One job against the preview engine, over real sockets: what comes back, and what is left behind."""

import base64
import io
import json
from collections.abc import Iterator

import pytest
import requests
from PIL import Image

from local import engine as preview
from tests.helpers import content, contents, count_frames, left_behind
from worker.errors import ExecutionFailed, ImageRejected, InvalidInput, OutOfMemory, OutputFailed, WorkflowRejected


@pytest.fixture(scope="module")
def engine() -> Iterator[preview.Engine]:
    with preview.start(scenario=preview.Scenario(step_seconds=0.01)) as running:
        yield running


def test_a_picture_becomes_a_video_and_its_frames_in_order(engine, run, small):
    answer = run(engine, small(num_frames=5))
    assert answer["status"] == "success"
    assert [output["type"] for output in answer["outputs"]] == ["video"] + ["image"] * 5
    assert [output["filename"] for output in answer["outputs"]][:2] == ["clip.mp4", "frame_0001.jpg"]
    assert count_frames(content(answer)) == 5
    frame = Image.open(io.BytesIO(content(answer, 1)))
    assert (answer["width"], answer["height"]) == frame.size == (96, 64)


@pytest.mark.parametrize("wanted", [1, 4, 16])
def test_exactly_the_frames_asked_for_come_back(engine, run, small, wanted):
    answer = run(engine, small(num_frames=wanted))
    assert answer["num_frames"] == wanted
    assert len(answer["outputs"]) == 1 + wanted
    assert count_frames(content(answer)) == wanted


def test_the_owners_request_with_a_picture_of_one_pixel_returns_16_frames(engine, run, picture):
    request = {"image": picture(1, 1), "prompt": "a person walking", "num_frames": 16, "fps": 24, "steps": 15}
    answer = run(engine, request)
    assert sum(output["type"] == "image" for output in answer["outputs"]) == 16
    assert (answer["width"], answer["height"]) == (960, 960)


@pytest.mark.parametrize("frame_format", ["auto", "png", "webp"])
def test_with_and_without_the_own_frame_saver_the_same_frames_come_in_the_same_order(engine, run, small, frame_format):
    wanted = small(num_frames=12, output="frames", frame_format=frame_format)
    with preview.start(scenario=preview.Scenario(step_seconds=0.01, missing_nodes=("SaveFrames",))) as plain:
        fast, slow = run(engine, wanted), run(plain, wanted)
    assert len(fast["outputs"]) == 12
    assert [{**frame, "data": ""} for frame in fast["outputs"]] == [{**frame, "data": ""} for frame in slow["outputs"]]
    pictures = [[Image.open(io.BytesIO(data)) for data in contents(answer)] for answer in (fast, slow)]
    assert [picture.size for picture in pictures[0]] == [(96, 64)] * 12
    assert [picture.tobytes() for picture in pictures[0]] == [picture.tobytes() for picture in pictures[1]]
    assert len({picture.tobytes() for picture in pictures[0]}) == 12


def test_output_video_leaves_the_frames_out(engine, run, small):
    answer = run(engine, small(output="video"))
    assert [output["mime_type"] for output in answer["outputs"]] == ["video/mp4"]


def test_output_frames_leaves_the_video_out(engine, run, small):
    answer = run(engine, small(output="frames", frame_format="png"))
    assert [output["mime_type"] for output in answer["outputs"]] == ["image/png"] * 5


def test_the_same_seed_gives_the_same_pixels(engine, run, small):
    first, again, other = (run(engine, small(seed=seed, output="frames", frame_format="png")) for seed in (3, 3, 4))
    assert first["outputs"] == again["outputs"]
    assert first["outputs"] != other["outputs"]


def test_a_clip_from_the_stand_in_says_so(engine, run, small):
    assert any("preview engine" in warning for warning in run(engine, small())["warnings"])


def test_nothing_of_a_job_stays_in_comfyuis_folders(engine, run, small):
    run(engine, small())
    with pytest.raises(ImageRejected):
        run(engine, small(image=base64.b64encode(b"not a picture").decode()))
    assert left_behind(engine.home) == []


def test_progress_rises_and_names_the_sampling_step(engine, run, small):
    seen = []
    run(engine, small(steps=4), report=seen.append)
    percents = [progress["percent"] for progress in seen]
    assert percents == sorted(percents)
    assert percents[-1] < 100
    steps = [progress["step"] for progress in seen if progress.get("steps") == 4]
    assert (steps[0], steps[-1], steps) == (1, 4, sorted(steps))  # between them ComfyUI leaves quick ones out


def test_faults_in_the_input_are_all_named(engine, run, small):
    with pytest.raises(InvalidInput) as caught:
        run(engine, small(num_frames=5000, promt="typo"))
    assert caught.value.details["fields"].keys() == {"num_frames", "promt"}


class TestCallersWorkflow:
    @pytest.fixture
    def graph(self):
        return {
            "1": {"class_type": "LoadImage", "inputs": {"image": "mine.png"}},
            "2": {
                "class_type": "ImageScale",
                "inputs": {
                    "image": ["1", 0],
                    "upscale_method": "bilinear",
                    "width": 32,
                    "height": 32,
                    "crop": "disabled",
                },
            },
            "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "mine"}},
        }

    def test_progress_of_a_workflow_has_a_list_of_images_for_clients_that_look_there(self, engine, run, picture, graph):
        seen = []
        run(engine, {"workflow": graph, "images": [{"name": "mine.png", "image": picture()}]}, report=seen.append)
        assert seen
        assert all(progress["images"] == [] for progress in seen)

    def test_a_key_for_api_nodes_goes_with_the_prompt_where_the_operator_allows_it(self, run, picture, graph):
        images = [{"name": "mine.png", "image": picture()}]
        wanted = {"workflow": graph, "images": images, "comfy_org_api_key": "comfy-key"}
        with preview.start() as engine:
            with pytest.raises(InvalidInput, match="API_NODES"):
                run(engine, wanted)
            answer = run(engine, wanted, api_nodes=True)
            assert "comfy-key" not in requests.get(f"{engine.url}/history", timeout=10).text
        assert "comfy-key" not in json.dumps(answer)

    def test_worker_comfyuis_request_is_answered_in_its_shape_too(self, engine, run, picture, graph):
        answer = run(engine, {"workflow": graph, "images": [{"name": "mine.png", "image": picture()}]})
        (image,) = answer["images"]
        assert image["type"] == "base64"
        assert Image.open(io.BytesIO(base64.b64decode(image["data"]))).size == (32, 32)
        assert [output["filename"] for output in answer["outputs"]] == [image["filename"]]
        assert left_behind(engine.home) == []

    def test_the_one_picture_goes_to_the_load_image_node(self, engine, run, picture, graph):
        assert len(run(engine, {"workflow": graph, "image": picture()})["outputs"]) == 1

    def test_every_kind_of_output_comes_back_and_previews_do_not(self, engine, run, picture, graph):
        graph["4"] = {"class_type": "CreateVideo", "inputs": {"images": ["2", 0], "fps": 8}}
        graph["5"] = {
            "class_type": "SaveVideo",
            "inputs": {"video": ["4", 0], "filename_prefix": "v", "format": "auto", "codec": "auto"},
        }
        graph["6"] = {
            "class_type": "SaveAnimatedWEBP",
            "inputs": {
                "images": ["2", 0],
                "filename_prefix": "w",
                "fps": 8,
                "lossless": True,
                "quality": 80,
                "method": "default",
            },
        }
        graph["7"] = {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}}
        answer = run(engine, {"workflow": graph, "image": picture()})
        assert sorted(output["mime_type"] for output in answer["outputs"]) == ["image/png", "image/webp", "video/mp4"]
        assert left_behind(engine.home) == []

    def test_a_graph_that_comfyui_refuses_names_node_input_value_and_what_is_allowed(self, engine, run, picture, graph):
        graph["2"]["inputs"]["upscale_method"] = "magic"
        with pytest.raises(WorkflowRejected) as caught:
            run(engine, {"workflow": graph, "image": picture()})
        message = caught.value.message
        assert all(word in message for word in ("ImageScale", "upscale_method", "magic", "bilinear"))

    def test_a_graph_that_is_broken_in_part_is_refused_as_a_whole(self, engine, run, picture, graph):
        graph["8"] = {"class_type": "SaveImage", "inputs": {"images": ["99", 0], "filename_prefix": "x"}}
        with pytest.raises(WorkflowRejected):
            run(engine, {"workflow": graph, "image": picture()})
        assert left_behind(engine.home) == []

    def test_a_graph_in_ui_format_is_told_how_to_export_the_right_one(self, engine, run, picture):
        with pytest.raises(WorkflowRejected, match="API"):
            run(engine, {"workflow": {"nodes": [], "links": [], "version": 0.4}, "image": picture()})

    def test_a_load_image_path_out_of_the_input_folder_is_refused(self, engine, run, graph):
        graph["1"]["inputs"]["image"] = "../output/other.png"
        with pytest.raises(WorkflowRejected, match="LoadImage"):
            run(engine, {"workflow": graph})


def test_a_failing_node_is_named_with_its_reason(run, small):
    fault = preview.Scenario(fail_at="VAEDecode", fail_type="RuntimeError", fail_message="shapes differ")
    with preview.start(scenario=fault) as engine, pytest.raises(ExecutionFailed) as caught:
        run(engine, small())
    assert "VAEDecode" in caught.value.message
    assert "shapes differ" in caught.value.message


def test_a_node_that_lacks_an_input_with_choices_is_told_as_such(run, small):
    message = "Node.execute() missing 1 required positional argument: 'mode'"  # what ComfyUI makes of an unknown choice
    fault = preview.Scenario(fail_at="VAEDecode", fail_type="TypeError", fail_message=message)
    with (
        preview.start(scenario=fault) as engine,
        pytest.raises(ExecutionFailed, match="values that it takes for 'mode'"),
    ):
        run(engine, small())


@pytest.mark.parametrize(
    ("class_type", "told"),
    [
        (
            "NoSuchNode",
            "(API nodes apart: API_NODES) it has those of the node packs comfyui_nodes; docs/WORKFLOWS.md",
        ),
        ("VAEDecoder", "did you mean VAEDecode?"),
        (" vaedecode", "did you mean VAEDecode?"),
        ("Reroute", "the editor's own"),
        ("6cbbd5c4-3a9c-4cd1-bb32-6bda7b5ff9a8", "the editor's own"),
        ("SaveAudio", "The preview engine does not play SaveAudio"),
    ],
)
def test_a_class_that_is_not_there_is_told_with_its_node_and_title(engine, run, class_type, told):
    graph = {
        "7": {"class_type": class_type, "inputs": {}, "_meta": {"title": "My own"}},
        "8": {"class_type": "SaveImage", "inputs": {"images": ["7", 0], "filename_prefix": "a"}},
    }
    with pytest.raises(WorkflowRejected) as caught:
        run(engine, {"workflow": graph})
    assert f'node 7 "My own" ({class_type})' in caught.value.message
    assert told in caught.value.message
    assert [fault["node_id"] for fault in caught.value.details["nodes"]] == ["7"]


@pytest.mark.parametrize(
    "error",
    [
        {},
        {"fail_type": "torch.AcceleratorError", "fail_message": "CUDA error: out of memory"},
    ],
)
def test_running_out_of_gpu_memory_says_what_to_change(run, small, error):
    with preview.start(scenario=preview.Scenario(fail_at="SamplerCustomAdvanced", **error)) as engine:
        with pytest.raises(OutOfMemory, match="num_frames"):
            run(engine, small())
        assert left_behind(engine.home) == []


def test_a_missing_model_is_named(run, small):
    with preview.start(scenario=preview.Scenario(missing_models=("hunyuanvideo15_vae_fp16.safetensors",))) as engine:
        with pytest.raises(WorkflowRejected, match=r"hunyuanvideo15_vae_fp16\.safetensors"):
            run(engine, small())


def test_a_file_that_vanished_is_an_error_that_names_it(run, small):
    with preview.start(scenario=preview.Scenario(vanish_output=True)) as engine:
        with pytest.raises(OutputFailed, match=r"mp4|png"):
            run(engine, small())


@pytest.mark.parametrize(("job_id", "limit"), [("sync-1", 19_800_000), ("1", 9_900_000)])
def test_a_reply_stays_under_the_limit_of_its_kind(engine, run, small, job_id, limit):
    answer = run(engine, small(width=512, height=512, num_frames=9, frame_format="png"), job_id=job_id)
    assert len(json.dumps({"output": answer})) < limit


def test_a_reply_that_would_be_too_long_is_made_to_fit_and_says_so(engine, run, small):
    answer = run(engine, small(width=512, height=512, frame_format="png"), reply_limit=150_000)
    assert len(json.dumps({"output": answer})) <= 150_000
    assert len(answer["outputs"]) == 6
    assert any("to fit" in warning for warning in answer["warnings"])


def cached_titles(engine, answer) -> set[str]:
    """The nodes of the job whose results ComfyUI still had."""
    entry = requests.get(f"{engine.url}/history/{answer['prompt_id']}", timeout=10).json()[answer["prompt_id"]]
    cached = dict(entry["status"]["messages"])["execution_cached"]["nodes"]
    return {entry["prompt"][2][node_id]["_meta"]["title"] for node_id in cached}


def test_a_job_that_changes_the_seed_only_encodes_neither_text_nor_image_again(engine, run, small):
    run(engine, small(seed=1))
    again = cached_titles(engine, run(engine, small(seed=2)))
    assert {"Encode image", "Encode prompt", "Encode negative prompt", "Condition on image"} <= again
    assert again.isdisjoint({"Sample", "Decode frames", "Save video", "Save frames"})
    assert left_behind(engine.home) == []
    other = cached_titles(engine, run(engine, small(seed=2, prompt="it stands still")))
    assert "Encode image" in other
    assert other.isdisjoint({"Encode prompt", "Condition on image"})
