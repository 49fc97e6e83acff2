"""What bench/gpu.py makes of ComfyUI's messages and samples of the memory, and the tables of bench/gpu_report.py."""

import dataclasses
import io
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench import gpu, gpu_report, gpu_stages, pictures, roofline, stages
from bench.stages import Message, Recording
from worker import config
from worker.graph import fill
from worker.input.request import parse

ROOT = str(Path(__file__).parents[2])
START = 1000.0
# Seconds since the start at which a node begins, or a step of it is done; ComfyUI tells some of the steps.
FIRST: list[tuple[Any, ...]] = [
    (0.0, "execution_start", None),
    (0.1, "executing", "Load image"),
    (0.2, "executing", "Encode image"),
    (1.2, "executing", "Encode prompt"),
    (1.7, "executing", "Condition on image"),
    (2.2, "executing", "Set noise shift"),
    (2.3, "executing", "Sample"),
    (5.3, "progress", "Sample", 1),
    (6.3, "progress", "Sample", 2),
    (8.3, "progress", "Sample", 4),
    (8.4, "executing", "Decode frames"),
    (8.9, "progress", "Decode frames", 1),
    (9.4, "executing", "Cut to length"),
    (9.4, "executing", "Save frames"),
    (9.9, "executing", "Create video"),
    (9.9, "executing", "Save video"),
    (10.4, "execution_success", None),
    (10.5, "executing", None),
]


def recording(after: float = 0.0) -> Recording:
    return Recording(tuple(Message(START + after + at, *said) for at, *said in FIRST))


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


@pytest.mark.parametrize("fields", [{}, {"preset": "fast_720p"}, {"upscale": "1080p", "interpolate": 2}], ids=str)
def test_every_node_that_takes_time_belongs_to_a_stage(fields: dict[str, str]) -> None:
    settings = config.read({"GRAPH_OPTIONS": "torch_compile,easycache,tiled_decode"})
    request = parse({"image": "x", "prompt": "x", **fields}, settings)
    graph = fill(request, request.form(1, 1), image_name="", prefix="", options=settings.graph_options)
    titles = {graph.title(node_id) for node_id in graph.nodes}
    slow = ("Load", "Encode", "Condition", "Sample", "Upscale", "Decode", "Save", "Compile", "Reuse", "Interpolate")
    untold = {title for title in titles if title.startswith(slow) and title not in stages.STAGE_OF}
    assert untold == {"Load image"}


def test_every_title_of_the_stages_is_one_of_the_graphs() -> None:
    settings = config.read({"GRAPH_OPTIONS": "torch_compile,easycache"})
    request = parse({"image": "x", "prompt": "x", "upscale": "1080p", "interpolate": 2}, settings)
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


def test_a_step_has_the_arithmetic_of_the_published_architecture() -> None:
    assert roofline.step_flop(1280, 720, 121) == pytest.approx(6.213e15, rel=1e-3)
    assert roofline.step_flop(848, 480, 121) == pytest.approx(1.389e15, rel=1e-3)
    assert roofline.step_flop(1280, 720, 81) == pytest.approx(3.007e15, rel=1e-3)


@pytest.mark.parametrize(
    ("gpu", "peak"),
    [("NVIDIA H100 80GB HBM3", 989.4), ("NVIDIA H100 PCIe", 756.0), ("NVIDIA L40S", 362.0), ("", None)],
)
def test_a_cards_peak_is_found_by_its_name(gpu: str, peak: float | None) -> None:
    assert roofline.find_peak(gpu) == peak


@pytest.mark.parametrize("tiny", [False, True])
def test_every_measurement_is_a_job_that_the_worker_takes(tiny: bool) -> None:
    for measurement in gpu_stages.plan(9, tiny):
        request = parse({"image": "x", "prompt": "x", **measurement.fields}, config.read({}))
        assert (request.num_frames, request.preset) == (9, measurement.preset)
        config.read({"GRAPH_OPTIONS": ",".join(measurement.options)})


def test_the_order_is_that_of_worth() -> None:
    stages_in_order = list(dict.fromkeys(measurement.stage for measurement in gpu_stages.plan(121, tiny=False)))
    assert stages_in_order[:3] == ["480p", "720p", "attention"]
    assert stages_in_order[-1] == "peers"


def row(stage: str, name: str, slower: float = 1, **more: Any) -> dict[str, Any]:
    job = dataclasses.asdict(stages.times(recording()))
    job["total"] *= slower
    return {
        "stage": stage,
        "name": name,
        "size": (1280, 720),
        "clip_size": (1280, 720),
        "frames": 121,
        "steps": 4,
        "preset_steps": 20,
        "forwards": 1,
        "first": job,
        "warm": [job],
        "peaks": {"decode": 26_500.0, "all": 33_000.0},
        "profile": {"seconds": 2.0, "kernels": {"gemm": 0.2, "void pytorch_flash::flash_fwd_kernel<int>(x)": 1.5}},
        "boot": 10.0,
        **more,
    }


def rendered(*rows: dict[str, Any], peak: float | None = 12_426.0) -> tuple[str, list[dict[str, str]]]:
    """The text, and the rows of its table by column."""
    machine = {"gpu": "Some GPU"}
    results = {"machine": machine, "weights": "random", "command": "bench.gpu", "peak": peak, "rows": list(rows)}
    text = gpu_report.render(results)
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    start = next((number for number, cells in enumerate(lines) if cells[0] == "stage"), len(lines))
    return text, [dict(zip(lines[start], cells, strict=True)) for cells in lines[start + 2 :]]


def test_a_row_tells_the_steps_share_of_the_limit_and_the_kernel_that_ran() -> None:
    _, (cells,) = rendered(row("720p", "balanced"))
    assert cells["s per step"] == "1.00"
    assert cells["% of limit"] == "50%"
    assert cells["attention kernel, share of a step"] == "pytorch_flash::flash_fwd_kernel, 75%"
    assert (cells["peak GB"], cells["decode GB"]) == ("33.0", "26.5")
    assert float(cells["s at the preset's steps"]) == pytest.approx(10.4 + 16)


def test_attention_in_several_kernels_is_told_from_one_that_is_not_there() -> None:
    def kernel(*names: str) -> str:
        profile = {"seconds": 2.0, "kernels": dict.fromkeys(names, 1.0)}
        return rendered(row("480p", "fast", profile=profile))[1][0]["attention kernel, share of a step"]

    assert kernel("aten::baddbmm", "aten::_softmax") == "none of one piece"
    assert kernel("aten::addmm") == "not in the profile"
    assert kernel("aten::_scaled_dot_product_flash_attention_for_cpu") == (
        "aten::_scaled_dot_product_flash_attention_for_cpu, 50%"
    )


def test_guidance_takes_two_passes_a_step_and_an_unknown_card_has_no_limit() -> None:
    assert rendered(row("peers", "guided", forwards=2))[1][0]["% of limit"] == "100%"
    assert rendered(row("720p", "balanced"), peak=None)[1][0]["% of limit"] == ""


def test_a_row_is_compared_with_the_first_of_its_stage() -> None:
    difference = {"mean_difference": 0.125, "largest_difference": 3.0, "deviation": 60.0}
    _, rows = rendered(row("attention", "stock", 2), row("attention", "cuDNN", 1, difference=difference))
    assert [cells["x first of stage"] for cells in rows] == ["", "2.00"]
    assert [cells["frames differ, mean, largest"] for cells in rows] == ["", "0.12, 3"]


def test_frames_of_one_color_are_reported() -> None:
    black = {"mean_difference": 60, "largest_difference": 9, "deviation": 0}
    text, _ = rendered(row("attention", "stock"), row("attention", "Sage", difference=black))
    assert "- attention: Sage gave frames of one color: its figures do not count" in text


def test_a_measurement_that_failed_is_reported_and_compared_with_nothing() -> None:
    failed = {"stage": "attention", "name": "stock", "error": "it does not start:\nTraceback\n\x1b[31mno kernel"}
    text, rows = rendered(failed, row("attention", "cuDNN"))
    assert "- attention: stock failed: Traceback no kernel" in text
    assert [cells["x first of stage"] for cells in rows] == [""]
    assert rendered(failed)[1] == []


WRITES = """
import argparse, sys
from pathlib import Path
from bench.gpu_stages import Session
options = argparse.Namespace(out=Path("gpu"), comfyui_dir=Path("x"), python=None, comfyui_args="--cpu", models=None,
                             tiny=True, peak=None)
session = Session(options, Path("."))
print("ready", flush=True)
while True:
    session.results["rows"].append({"stage": "s", "name": "n" * 5000, "error": "e" * 5000})
    session._write()
"""


def test_a_run_that_is_killed_at_any_moment_leaves_whole_files(tmp_path: Path) -> None:
    for moment in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITES], cwd=tmp_path, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": ROOT}
        )
        assert process.stdout
        process.stdout.readline()
        time.sleep(0.3 + 0.013 * moment)
        process.kill()
        process.communicate()
        rows = json.loads((tmp_path / "gpu.json").read_text())["rows"]
        table = (tmp_path / "gpu.md").read_text()
        assert 0 <= len(rows) - table.count(" failed: ") <= 1
        assert table.endswith("\n")


def wheel(folder: Path, name: str) -> None:
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as file:
        file.writestr(f"{name}.py", "")
        info = f"{name}-1.0.dist-info"
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")


def test_only_the_wheels_that_a_python_lacks_are_installed(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    for name in ("lacking_one", "numpy"):
        wheel(tmp_path / "wheels", name)
    gpu.unpack(Path(sys.executable), tmp_path / "wheels", tmp_path / "target")
    assert [path.name for path in (tmp_path / "target").glob("*.py")] == ["lacking_one.py"]


def test_the_command_that_is_shown_has_no_path_of_this_machine() -> None:
    words = ["--comfyui-dir", "/a/b", "--python=/c/d", "--tiny", "--comfyui-args=--cpu"]
    assert gpu_stages.without_paths(words) == ["--comfyui-dir", "...", "--python=...", "--tiny", "--comfyui-args=--cpu"]
