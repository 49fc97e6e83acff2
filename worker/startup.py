"""Whether this worker is fit to take jobs: fitness checks that the SDK runs before it asks for the first one."""

import base64
import io
import logging
import re
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from worker import catalogue, config, job
from worker.comfyui import connect, folders, wait_for_answer
from worker.config import Settings
from worker.errors import ComfyUIUnavailable, ConfigError, ModelError, ModelMissing
from worker.input import image

log = logging.getLogger(__name__)

COMPILERS = ("gcc", "clang", "cc")
"""Of which Triton takes one, for a small library around each kernel that torch_compile makes."""
SIDE = 64  # pixels of the warm-up's clip: the least that a job may ask for


def checks(settings: Settings) -> list[Callable[[], None]]:
    """What must go well before the first job, in order; the platform is told the name of the one that fails."""
    start = time.monotonic()

    def models_in_place() -> None:
        check_models(settings, start + settings.init_timeout)

    def comfyui_answers() -> None:
        check_comfyui(settings, start + settings.boot_timeout)

    def warm_up() -> None:
        make_tiny_clip(settings, start + settings.init_timeout)

    return [models_in_place, comfyui_answers, *([warm_up] if settings.warmup else [])]


def check_models(settings: Settings, end: float) -> None:
    """Return once builder.sh says that all models are in place, if it brings them.

    Raises ModelError with its reason, or when it has said nothing by `end`, a time.monotonic(); and ConfigError where
    what it brings are not the default preset's models.
    """
    if settings.models_state is None:
        return
    if fault := catalogue.find_preset_fault(settings.default_preset, config.read_models().sets):
        raise ConfigError(fault)
    while (state := _read(settings.models_state)) != "ready":
        if state:
            raise ModelError(state)
        if time.monotonic() > end:
            raise ModelError("the models are not in place in time (RUNPOD_INIT_TIMEOUT)")
        time.sleep(0.05)


def check_comfyui(settings: Settings, end: float) -> None:
    """Return once ComfyUI answers; raises ComfyUIUnavailable when it has not by `end`, a time.monotonic().

    So it does once builder.sh says that ComfyUI does not stay up. Raises ConfigError where it cannot run the graphs as
    GRAPH_OPTIONS has them.
    """
    image.warm()
    with connect(settings.comfyui_url, settings.comfyui_log) as comfyui:
        left = max(end - time.monotonic(), 0)
        stats = wait_for_answer(comfyui, left, lambda: _check_state(settings.comfyui_state), settings.comfyui_pid)
    if settings.comfyui_dir:
        folders.sweep(settings.comfyui_dir)
    check_gpu(settings.comfyui_log)
    name = "The preview engine" if stats.get("stand_in") else f"ComfyUI {stats['comfyui_version']}"
    log.info("%s answers at %s", name, comfyui.url)
    if settings.comfyui_dir and "torch_compile" in settings.graph_options and not any(map(shutil.which, COMPILERS)):
        raise ConfigError(
            "GRAPH_OPTIONS has torch_compile, with which every job would fail: no C compiler here. Leave it out "
            "(it gains a few percent at most), or build an image FROM this one with the packages gcc and python3-dev"
        )


def check_gpu(comfyui_log: Path | None) -> None:
    """Raise ConfigError where torch has said, as ComfyUI started, that it has no code for this GPU.

    https://github.com/pytorch/pytorch/blob/main/torch/cuda/__init__.py: _check_cubins
    """
    text = comfyui_log.read_text(encoding="utf-8", errors="replace") if comfyui_log and comfyui_log.exists() else ""
    if unknown := re.search(r"^.*\bsm_\d+ is not compatible with the current PyTorch installation", text, re.MULTILINE):
        raise ConfigError(
            f"{unknown[0].strip()}: choose another GPU, or the image for this one (docs/DEPLOYMENT.md, Choose a GPU)"
        )


def make_tiny_clip(settings: Settings, end: float) -> None:
    """Make a clip of one frame, as any job makes its clip, by `end`, a time.monotonic(); raises WorkerError.

    ComfyUI loads the models for it and keeps them. Where MODEL_SETS has none of the default graph's, there is no clip.
    """
    start = time.monotonic()
    job_input = {"image": _picture(), "prompt": "still", "width": SIDE, "height": SIDE, "num_frames": 1, "steps": 1}
    limits = {"job_timeout": max(end - start, 1.0), "bucket_endpoint": ""}
    warm_up = {"id": "warm-up", "input": job_input}
    try:
        job.run(warm_up, settings.model_copy(update=limits), lambda _: None, threading.Event())
    except ModelMissing as error:
        if set(config.read_models().sets) & set(catalogue.MODEL_SETS):
            raise
        log.warning("no warm-up: %s", error.message)
        return
    log.info("warm-up: a clip of one frame took %.1f s", time.monotonic() - start)


def _check_state(comfyui_state: Path | None) -> None:
    if reason := _read(comfyui_state):
        raise ComfyUIUnavailable(reason)


def _picture() -> str:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((SIDE, SIDE)).convert("RGB").save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def _read(state: Path | None) -> str:
    return state.read_text(encoding="utf-8").strip() if state and state.exists() else ""
