"""What bench/gpu.py makes of ComfyUI's messages and samples of the memory, and the tables of bench/gpu_report.py."""

import argparse
import dataclasses
import io
from collections.abc import Mapping

import numpy as np
import pytest
from PIL import Image

from bench import gpu, gpu_report, pictures, stages
from bench.stages import Message, Recording
from worker import config
from worker.graph import fill
from worker.input.request import parse

START = 1000.0
# Seconds since the start at which a node begins, or a step of it is done.
FIRST = [
    (0.0, "execution_start", None),
    (0.1, "executing", "Load image"),
    (0.2, "executing", "Encode image"),
    (1.2, "executing", "Encode prompt"),
    (1.7, "executing", "Condition on image"),
    (2.2, "executing", "Set noise shift"),
    (2.3, "executing", "Sample"),
    (5.3, "progress", "Sample"),
    (6.3, "progress", "Sample"),
    (7.5, "progress", "Sample"),
    (8.3, "progress", "Sample"),
    (8.4, "executing", "Decode frames"),
    (8.9, "progress", "Decode frames"),
    (9.4, "executing", "Cut to length"),
    (9.4, "executing", "Save frames"),
    (9.9, "executing", "Create video"),
    (9.9, "executing", "Save video"),
    (10.4, "execution_success", None),
    (10.5, "executing", None),
]


def recording(after: float = 0.0) -> Recording:
    return Recording(tuple(Message(START + after + at, kind, title) for at, kind, title in FIRST))


def test_a_stage_has_the_seconds_of_its_nodes_and_all_of_them_the_jobs() -> None:
    times = stages.times(recording())
    assert times.stages == pytest.approx(
        {"vision": 1.0, "text": 0.5, "encode": 0.5, "sample": 6.1, "decode": 1.0, "save": 1.0, "other": 0.2}
    )
    assert times.nodes["Save frames"] == pytest.approx(0.5)
    assert times.total == pytest.approx(10.4)
    assert sum(times.stages.values()) == pytest.approx(times.total - 0.1)


def test_the_first_step_is_told_apart_as_the_model_is_loaded_meanwhile() -> None:
    steps = stages.times(recording()).steps
    assert set(steps) == {"Sample"}
    assert dataclasses.astuple(steps["Sample"]) == pytest.approx((4, 3.0, 1.0))


def test_a_single_step_has_no_further_ones() -> None:
    messages = [message for message in recording().messages if message.kind != "progress" or message.at < START + 6]
    assert stages.times(Recording(tuple(messages))).steps["Sample"].each is None


def test_what_was_cached_is_missing() -> None:
    kept = tuple(message for message in recording().messages if message.title != "Encode image")
    assert "vision" not in stages.times(Recording(kept)).stages


def test_between_two_jobs_the_gpu_idles_from_decoding_to_encoding() -> None:
    pause = stages.between(recording(), recording(after=10.45))
    assert pause == pytest.approx({"handover": 0.15, "gpu_idle": 10.65 - 9.4})


def test_a_peak_is_told_for_each_stage_that_has_a_sample_and_for_all() -> None:
    samples = [(START + at, value) for at, value in ((-1, 5.0), (0.5, 1.0), (3, 4.0), (8.5, 9.0), (9, 7.0), (60, 6.0))]
    assert stages.peaks(recording().spans(), samples) == {"vision": 1, "sample": 4, "decode": 9, "all": 9}


@pytest.mark.parametrize("fields", [{}, {"preset": "fast"}, {"upscale": "1080p"}], ids=str)
def test_every_node_that_takes_time_belongs_to_a_stage(fields: dict[str, str]) -> None:
    settings = config.read({"GRAPH_OPTIONS": "torch_compile,easycache,tiled_decode"})
    request = parse({"image": "x", "prompt": "x", **fields}, settings)
    graph = fill(request, request.form(1, 1), image_name="", prefix="", options=settings.graph_options)
    titles = {graph.title(node_id) for node_id in graph.nodes}
    slow = ("Load", "Encode", "Condition", "Sample", "Upscale", "Decode", "Save", "Compile", "Reuse")
    untold = {title for title in titles if title.startswith(slow) and title not in stages.STAGE_OF}
    assert untold == {"Load image"}


def test_every_title_of_the_stages_is_one_of_the_graphs() -> None:
    settings = config.read({"GRAPH_OPTIONS": "torch_compile,easycache"})
    request = parse({"image": "x", "prompt": "x", "upscale": "1080p"}, settings)
    graph = fill(request, request.form(1, 1), image_name="", prefix="", options=settings.graph_options)
    assert set(stages.STAGE_OF) <= {graph.title(node_id) for node_id in graph.nodes}


def png(value: float) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def test_frames_are_compared_in_levels() -> None:
    found = pictures.compare([png(10), png(20)], [png(10), png(23)])
    assert found == {"mean_difference": 1.5, "largest_difference": 3.0, "deviation": 0.0}


def test_no_two_start_pictures_are_the_same() -> None:
    assert len({pictures.photograph(number) for number in (0, 1, 2, 256)}) == 4
    assert Image.open(io.BytesIO(pictures.photograph(3))).size == pictures.SIZE


@pytest.mark.parametrize(
    ("variants", "sets"),
    [
        (["balanced", "quality"], ["default"]),
        (["fast"], ["fast"]),
        (["fast", "quality+1080p"], ["fast", "default", "upscale"]),
    ],
)
def test_only_the_weights_that_are_needed_are_made(variants: list[str], sets: list[str]) -> None:
    assert gpu.sets_of(variants) == sets


def test_every_variant_is_a_request_that_the_worker_takes() -> None:
    options = argparse.Namespace(frames=9, size=None, steps=None)
    for variant in gpu.VARIANTS:
        request = parse({"image": "x", "prompt": "x", **gpu.fields_of(variant, options)}, config.read({}))
        assert request.preset + ("+1080p" if request.upscale else "") == variant
    options = argparse.Namespace(frames=9, size=(96, 64), steps=3)
    request = parse({"image": "x", "prompt": "x", **gpu.fields_of("fast", options)}, config.read({}))
    assert (request.form(10, 10).sampled, request.steps, request.num_frames) == ((96, 64), 3, 9)


def test_every_graph_option_is_a_setting() -> None:
    for option in gpu.OPTIONS.values():
        config.read({"GRAPH_OPTIONS": ",".join(option.graph)})


def figures(preset: str, option: str, slower: float) -> dict[str, object]:
    times = stages.times(recording())
    job = dataclasses.asdict(dataclasses.replace(times, total=slower * times.total))
    job["stages"]["sample"] = slower * slower * job["stages"]["sample"]
    return {
        "preset": preset,
        "option": option,
        "versions": {"comfyui": "0.8.0"},
        "clip_size": (1080, 1920),
        "frames": 25,
        "cold": job,
        "warm": [job],
        "between": {"handover": 0.1, "gpu_idle": 1.25},
        "peak_mb": {"all": 12_345.0},
        "check": {"mean_difference": 0.125, "largest_difference": 3.0, "deviation": 60.0},
    }


def results(*runs: Mapping[str, object]) -> dict[str, object]:
    return {"machine": {"gpu": "Some GPU"}, "weights": "full", "command": "python -m bench.gpu", "runs": list(runs)}


def test_the_tables_tell_times_and_how_many_times_as_fast_as_stock() -> None:
    text = gpu_report.render(results(figures("balanced", "stock", 2), figures("balanced", "tiled", 1)))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    assert ["gpu", "Some GPU"] in rows
    assert ["balanced", "1080x1920, 25", "20.8", "20.8", "1.00", "0.50", "0.50", "24.4"] in [row[:8] for row in rows]
    assert ["balanced", "Sample", "4", "3.00", "1.00"] in rows
    assert ["balanced", "tiled", "10.4", "10.4", "2.00", "4.00", "12.3", "0.12, 3"] in rows


def test_a_preset_is_compared_with_balanced() -> None:
    text = gpu_report.render(results(figures("balanced", "stock", 4), figures("fast", "stock", 1)))
    assert [line.split(" | ")[-1] for line in text.splitlines() if "1080x1920" in line] == ["1.00 |", "4.00 |"]


def test_frames_of_one_colour_are_told() -> None:
    black = {
        **figures("balanced", "sage", 1),
        "check": {"mean_difference": 60, "largest_difference": 9, "deviation": 0},
    }
    text = gpu_report.render(results(figures("balanced", "stock", 1), black))
    assert [line for line in text.splitlines() if "one colour" in line] == [
        "- balanced with sage gave frames of one colour: its figures do not count"
    ]


def test_a_run_that_failed_is_told_and_compared_with_nothing() -> None:
    failed = {"preset": "fast", "option": "stock", "error": "ComfyUI does not start; its last lines:\nTraceback"}
    text = gpu_report.render(results(failed, figures("fast", "tiled", 1)))
    assert "- fast with stock failed: ComfyUI does not start; its last lines:" in text
    assert "Traceback" not in text
    assert "x stock" not in text
