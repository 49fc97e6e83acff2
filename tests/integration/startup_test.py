"""Whether a worker takes jobs: what it refuses once ComfyUI answers."""

import time

import pytest

from local import engine as preview
from tests.scripts.verified_tree import comfyui, http_server
from worker import config, startup
from worker.errors import ConfigError, ModelMissing


def test_a_default_preset_without_its_models_is_refused_where_builder_sh_brings_them(tmp_path, monkeypatch):
    (tmp_path / "models.state").write_text("ready")
    monkeypatch.setenv("MODEL_SETS", "fast")
    settings = config.read({"MODELS_STATE": str(tmp_path / "models.state")})
    with pytest.raises(ConfigError, match="DEFAULT_PRESET=balanced needs the set default, and MODEL_SETS is fast"):
        startup.check_models(settings, time.monotonic() + 5)
    startup.check_models(settings.model_copy(update={"default_preset": "fast"}), time.monotonic() + 5)
    startup.check_models(settings.model_copy(update={"models_state": None}), time.monotonic() + 5)


@pytest.mark.parametrize("compiler", ["gcc", "clang", None])
def test_torch_compile_is_refused_before_any_job_where_nothing_compiles(tmp_path, monkeypatch, compiler):
    if compiler:
        (tmp_path / compiler).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with http_server(comfyui()) as url:
        settings = config.read({"COMFYUI_URL": url, "COMFYUI_DIR": str(tmp_path), "GRAPH_OPTIONS": "torch_compile"})
        startup.check_comfyui(settings.model_copy(update={"graph_options": ("easycache",)}), time.monotonic() + 5)
        startup.check_comfyui(settings.model_copy(update={"comfyui_dir": None}), time.monotonic() + 5)
        if compiler:
            startup.check_comfyui(settings, time.monotonic() + 5)
        else:
            with pytest.raises(ConfigError, match=r"torch_compile.* no C compiler here. Leave it out"):
                startup.check_comfyui(settings, time.monotonic() + 5)


@pytest.mark.parametrize(("sets", "refused"), [("none", False), ("default", True)])
def test_a_warm_up_is_left_out_where_no_set_of_the_workers_is_brought(monkeypatch, sets, refused):
    monkeypatch.setenv("MODEL_SETS", sets)
    vae = "hunyuanvideo15_vae_fp16.safetensors"
    with preview.start(scenario=preview.Scenario(missing_models=(vae,))) as engine:
        settings = config.read({"COMFYUI_URL": engine.url, "COMFYUI_DIR": str(engine.home), "WARMUP": "1"})
        if refused:
            with pytest.raises(ModelMissing, match=vae):
                startup.make_tiny_clip(settings, time.monotonic() + 20)
        else:
            startup.make_tiny_clip(settings, time.monotonic() + 20)


@pytest.mark.parametrize("log", ["", "Device: cuda:0 NVIDIA GeForce RTX 5090", None])
def test_a_gpu_without_code_in_comfyuis_torch_is_refused_before_any_job(tmp_path, log):
    path = tmp_path / "comfyui.log"
    if log is not None:
        path.write_text(log)
    startup.check_gpu(path)
    told = (
        "NVIDIA GeForce RTX 5090 with CUDA capability sm_120 is not compatible with the current PyTorch installation."
    )
    path.write_text(f"{log}\n/lib/torch/cuda/__init__.py:326: UserWarning: \n{told}\nThe current PyTorch install ...\n")
    with pytest.raises(
        ConfigError, match=r"^NVIDIA GeForce RTX 5090 with CUDA capability sm_120 .*: choose another GPU"
    ):
        startup.check_gpu(path)
