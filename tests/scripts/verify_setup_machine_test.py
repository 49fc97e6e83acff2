"""verify_setup.py as a process: ComfyUI, models, volume, GPU and bucket, fit and unfit."""

import json
import os
import re
from pathlib import Path

import pytest

from checks.comfyui import VERIFIED
from tests.scripts.verified_tree import NOBODY, PLATFORM, Tree, comfyui, engine_process, http_server
from worker import catalogue

MODELS = catalogue.load(["default"], {})


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def write_model(path: Path, model: catalogue.ModelFile) -> None:
    """A whole file of the published size that takes no room on the disk."""
    length = 256
    end = (model.size or 0) - 8 - length
    header = json.dumps({"x." + model.tensor: {"dtype": "U8", "shape": [end], "data_offsets": [0, end]}})
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(length.to_bytes(8, "little") + header.ljust(length).encode())
        file.truncate(model.size)


def test_quick_leaves_out_the_sdk_and_the_structure_of_models(tree: Tree) -> None:
    models = tree.root / "models"
    for model in MODELS:
        write_model(models / model.path, model)
    unfit = models / MODELS[0].path
    with unfit.open("r+b") as file:
        file.write(b"<!DOCTYPE html>")
    quick = tree.verify("--quick", "--only", "sdk", "model", MODELS_DIR=str(models))
    assert quick.of("sdk") == ("not applicable", "sdk", "skipped by --quick")
    assert quick.code == 0
    assert {line.state for line in quick.lines if line.check == "model"} == {"ok"}
    assert tree.verify("--only", "model", MODELS_DIR=str(models)).code == 1


def test_each_model_has_a_line_of_its_own(tree: Tree) -> None:
    models = tree.root / "models"
    whole, cut, missing, small, link = (models / model.path for model in MODELS)
    for model in MODELS:
        write_model(models / model.path, model)
    os.truncate(cut, 1_000_000)
    missing.unlink()
    header = json.dumps({"x." + MODELS[3].tensor: {"data_offsets": [0, 10]}}).encode()
    small.write_bytes(len(header).to_bytes(8, "little") + header + bytes(10))
    link.unlink()
    link.symlink_to(models / "nowhere")
    result = tree.verify("--only", "model", MODELS_DIR=str(models))
    assert result.code == 1
    assert [line.state for line in result.lines] == ["ok", "fail", "fail", "warning", "fail"]
    for path, line in zip((whole, cut, missing, small, link), result.lines, strict=True):
        assert str(path) in line.found
    assert "is cut: 1,000,000 of " in result.lines[1].found
    assert result.lines[2].found.endswith("does not exist -> python -m worker.models bring")


def test_each_set_is_listed_with_the_setting_that_brings_it(tree: Tree) -> None:
    models = tree.root / "models"
    for model in MODELS:
        write_model(models / model.path, model)
    result = tree.verify("--only", "sets", MODELS_DIR=str(models))
    assert [line.state for line in result.lines] == ["ok"] + ["not applicable"] * 4
    assert "all 5 files are there" in result.lines[0].found
    assert "480p_i2v_step_distilled_fp8_scaled.safetensors (8.3 GB)" in result.lines[1].found
    assert "MODEL_SETS=default,fast brings it" in result.lines[1].found
    alone = tree.verify("--only", "sets", MODELS_DIR=str(models), MODEL_SETS="fast", DEFAULT_PRESET="fast")
    assert "MODEL_SETS=fast,default,upscale brings it" in alone.lines[2].found
    assert "MODEL_SETS=default,fast,upscale_720p brings it" in result.lines[3].found
    assert result.lines[2].found.count(".safetensors") == 2
    chosen = tree.verify("--only", "sets", MODELS_DIR=str(models), MODEL_SETS="default,upscale")
    assert [line.state for line in chosen.lines] == ["ok", "not applicable", "fail"] + ["not applicable"] * 2
    assert chosen.code == 1


def test_a_default_preset_without_its_models_is_a_fault(tree: Tree) -> None:
    (tree.root / "models").mkdir()
    result = tree.verify("--only", "sets", MODELS_DIR=str(tree.root / "models"), DEFAULT_PRESET="fast")
    assert "DEFAULT_PRESET=fast needs the set fast, and MODEL_SETS is default" in result.lines[-1].found
    assert result.lines[-1].state == "fail"


def test_without_a_set_of_the_workers_only_the_owners_files_are_looked_for(tree: Tree) -> None:
    (tree.root / "models").mkdir()
    (tree.root / "models.toml").write_text(
        '[[file]]\nname = "a.pth"\nfolder = "loras"\nurl = "https://example.com/a"\n'
    )
    own = {"MODELS_DIR": str(tree.root / "models"), "MODEL_SETS": "none", "VOLUME_DIR": str(tree.root)}
    (line,) = tree.verify("--only", "model", **own).lines
    assert "models/loras/a.pth does not exist" in line.found
    sets = tree.verify("--only", "sets", **own)
    assert {line.state for line in sets.lines} == {"not applicable"}
    assert "MODEL_SETS=default brings it" in sets.lines[0].found
    with engine_process({"missing_models": ["hunyuanvideo15_vae_fp16.safetensors"]}) as url:
        assert tree.verify("--only", "comfyui", COMFYUI_URL=url, **own).of("choices").state == "not applicable"


@pytest.mark.parametrize(
    ("environ", "lacking"),
    [
        ({"DEFAULT_PRESET": "fast", "MODEL_SETS": "fast"}, "480p_i2v_step_distilled"),
        ({"MODEL_SETS": "default,upscale"}, "hunyuanvideo15_latent_upsampler_1080p"),
    ],
)
def test_the_models_of_the_graphs_in_use_are_looked_for(tree: Tree, environ: dict[str, str], lacking: str) -> None:
    (name,) = [model.name for model in catalogue.load(catalogue.MODEL_SETS, {}) if lacking in model.name]
    with engine_process({"missing_models": [name]}) as url:
        asked = tree.verify("--only", "comfyui", COMFYUI_URL=url, **environ).of("choices")
        assert asked.state == "fail"
        assert name in asked.found
        assert name not in tree.verify("--only", "comfyui", COMFYUI_URL=url).of("choices").found


def test_every_preset_that_has_its_models_is_looked_for_with_the_operators_options(tree: Tree) -> None:
    missing = {model.name for model in catalogue.load(catalogue.MODEL_SETS, {})} - {model.name for model in MODELS}
    with http_server(comfyui(without=missing)) as url:
        one = tree.verify("--only", "comfyui", COMFYUI_URL=url, GRAPH_OPTIONS="easycache")
        every = tree.verify("--only", "comfyui", COMFYUI_URL=url, MODEL_SETS=",".join(catalogue.MODEL_SETS))
    assert one.of("choices").found.startswith("all 5 models")
    assert one.of("nodes").found.startswith("all 20 node classes")
    assert all(name in every.of("choices").found for name in missing)


def test_the_preview_engine_is_not_passed_off_as_comfyui(tree: Tree) -> None:
    with engine_process({}) as url:
        laptop = tree.verify("--only", "comfyui", COMFYUI_URL=url)
        platform = tree.verify("--only", "comfyui", COMFYUI_URL=url, **PLATFORM)
    assert laptop.states == [("comfyui", "warning"), ("nodes", "not applicable"), ("choices", "not applicable")]
    assert "a stand-in answers" in laptop.of("comfyui").found
    assert "only a ComfyUI proves it" in laptop.of("choices").found
    assert laptop.code == 0
    assert platform.of("comfyui").state == "fail"
    assert platform.code == 1


def test_models_that_comfyui_does_not_list_are_named(tree: Tree) -> None:
    missing = [MODELS[0].name, MODELS[3].name]
    with engine_process({"missing_models": missing}) as url:
        result = tree.verify("--only", "comfyui", COMFYUI_URL=url)
    assert result.code == 1
    assert result.of("choices").state == "fail"
    assert all(name in result.of("choices").found for name in missing)
    assert MODELS[1].name not in result.of("choices").found


def test_node_classes_and_choices_that_comfyui_does_not_know_are_named(tree: Tree) -> None:
    with http_server(comfyui()) as url:
        fit = tree.verify("--only", "comfyui", COMFYUI_URL=url)
        tree.edit("workflow_api.json", '"VAEDecode"', '"VAEDecodeBetter"')
        tree.edit("workflow_api.json", '"codec": "h264"', '"codec": "h265"')
        unfit = tree.verify("--only", "comfyui", COMFYUI_URL=url)
    assert fit.states == [("comfyui", "ok"), ("nodes", "ok"), ("choices", "ok")]
    assert "all 5 models and " in fit.of("choices").found
    assert "VAEDecodeBetter" in unfit.of("nodes").found
    assert "h265 (Save video: codec)" in unfit.of("choices").found
    assert unfit.code == 1


def test_another_release_of_comfyui_is_a_warning(tree: Tree) -> None:
    with http_server(comfyui(version="0.9.1")) as url:
        result = tree.verify("--only", "comfyui", COMFYUI_URL=url, **PLATFORM)
    assert result.of("comfyui").state == "warning"
    assert f"tested on {VERIFIED}" in result.of("comfyui").found
    assert result.code == 0


def test_a_server_that_is_no_comfyui_does_not_count_as_one(tree: Tree) -> None:
    with http_server({}) as page, http_server({"/system_stats": ["no stats"]}) as other:
        for url in (page, other):
            assert "no ComfyUI answers" in tree.verify("--only", "comfyui", COMFYUI_URL=url).of("comfyui").found


def test_an_image_without_the_preview_engine_needs_comfyui_models_and_gpu(tree: Tree) -> None:
    tree.leave_out_the_engine()
    result = tree.verify("--only", "comfyui", "model", "gpu", COMFYUI_URL=NOBODY)
    assert result.code == 1
    assert result.of("comfyui").state == "fail"
    assert [line.state for line in result.lines if line.check == "model"] == ["fail"] * len(MODELS)
    assert result.of("gpu").state == "fail"
    assert result.of("nodes").state == "not applicable"


@pytest.mark.parametrize(
    ("gpu", "torch", "state", "found"),
    [
        ("NVIDIA H100 80GB HBM3, 81559, 580.65.06, 9.0", "2.14.1+cu130", "ok", "80 GiB, driver 580.65.06"),
        ("NVIDIA H100 80GB HBM3, 81559, 550.54.15, 9.0", "2.10.0+cu128", "warning", "driver 570 came with CUDA 12.8"),
        ("NVIDIA H100 80GB HBM3, 81559, 570.86.10, 9.0", "2.14.1+cu130", "fail", "CUDA 13 needs driver 580"),
        ("Tesla T4, 15360, 470.82.01, 7.5", "2.6.0+cu124", "fail", "CUDA 12 needs driver 525"),
        ("NVIDIA GeForce RTX 5090, 32607, 570.86.10, 12.0", "2.6.0+cu124", "fail", "CUDA 12.8 or later"),
        ("NVIDIA GeForce RTX 5090, 32607, 570.86.10, 12.0", "2.10.0+cu128", "ok", "torch 2.10.0+cu128"),
        ("NVIDIA H100 80GB HBM3, 81559, 550.54.15, 9.0", "2.6.0+cpu", "fail", "has no CUDA"),
    ],
)
def test_the_driver_and_the_gpu_must_fit_the_cuda_build(
    tree: Tree, gpu: str, torch: str, state: str, found: str
) -> None:
    tree.add_command("nvidia-smi", f"echo '{gpu}'")
    with http_server(comfyui(torch=torch)) as url:
        result = tree.verify("--only", "gpu", COMFYUI_URL=url, **PLATFORM)
    assert result.of("gpu").state == state
    assert found in result.of("gpu").found
    assert result.code == (state == "fail")


def test_a_driver_that_is_not_loaded_is_a_failure_on_the_platform(tree: Tree) -> None:
    tree.add_command("nvidia-smi", 'echo "NVIDIA-SMI has failed: it couldn\'t communicate with the driver."; exit 9')
    platform = tree.verify("--only", "gpu", **PLATFORM)
    assert "couldn't communicate with the driver" in platform.of("gpu").found
    assert platform.code == 1
    assert tree.verify("--only", "gpu").of("gpu").state == "warning"


def test_output_of_nvidia_smi_that_cannot_be_read_is_a_failed_check(tree: Tree) -> None:
    tree.add_command("nvidia-smi", "echo no devices were found")
    result = tree.verify("--only", "gpu")
    assert result.code == 1
    assert "cannot be checked" in result.of("gpu").found


def test_the_volume_disk_and_memory_are_described(tree: Tree) -> None:
    result = tree.verify("--only", "volume", "disk", "memory", VOLUME_DIR=str(tree.root))
    assert result.of("volume").state == "ok"
    assert re.search(r"\d+% of / is free", result.of("disk").found)
    assert re.search(r"\d+\.\d GiB available", result.of("memory").found)
    without = tree.verify("--only", "volume", VOLUME_DIR=str(tree.root / "none"), **PLATFORM)
    assert without.of("volume").state == "warning"


def bucket_at(url: str) -> dict[str, str]:
    keys = {"BUCKET_ACCESS_KEY_ID": "access-key", "BUCKET_SECRET_ACCESS_KEY": "secret-key"}
    return {"BUCKET_ENDPOINT_URL": url, "BUCKET_NAME": "clips", **keys}


def test_a_bucket_is_written_to_and_read_from(tree: Tree) -> None:
    with http_server({}) as url:
        assert tree.verify("--only", "bucket", **bucket_at(url)).of("bucket").state == "ok"
        assert "skipped" in tree.verify("--quick", "--only", "bucket", **bucket_at(url)).of("bucket").found
    with http_server({}, damage=b"!") as url:
        damaged = tree.verify("--only", "bucket", **bucket_at(url))
    assert "holds something else" in damaged.of("bucket").found
    assert damaged.code == 1


def test_a_bucket_that_cannot_be_used_is_a_failure(tree: Tree) -> None:
    assert tree.verify("--only", "bucket").of("bucket").state == "not applicable"
    result = tree.verify("--only", "bucket", **bucket_at(NOBODY))
    assert result.code == 1
    assert result.of("bucket").state == "fail"
    assert "secret-key" not in result.out + result.err
