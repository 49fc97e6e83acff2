"""Whether this worker is fit to take jobs: checked before it asks for the first one, and before each."""

import logging
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worker import config, presets
from worker.comfyui import ComfyUI
from worker.config import Settings
from worker.errors import ComfyUIUnavailable, ConfigError, JobCancelled
from worker.models.catalogue import ModelError

log = logging.getLogger(__name__)

# With any of these the SDK never asks the queue for a job, while the endpoint looks healthy.
SILENCERS = {
    "--rp_serve_api": "it serves the SDK's test API instead",
    "--test_input": "it runs that one job and exits",
}

NO_COMPILE = "2.6."
"""Releases of torch without an option (guard_filter_fn) that ComfyUI 0.8.0's TorchCompileModel uses."""


def silencers(arguments: list[str]) -> list[str]:
    """The flags among a command's arguments that keep the SDK from taking jobs; it takes shortened ones as well."""
    names = [argument.split("=", maxsplit=1)[0] for argument in arguments if argument.startswith("--")]
    return [flag for flag in SILENCERS if any(len(name) > len("--") and flag.startswith(name) for name in names)]


def refuse_silencers(settings: Settings, arguments: list[str]) -> None:
    """Raise ConfigError for whatever would keep the handler from being called, naming what to remove."""
    for flag in silencers(arguments):
        raise ConfigError(
            f"with {flag} this worker never takes a job: {SILENCERS[flag]}. Remove it from the container's command"
        )
    if settings.realtime_port:
        raise ConfigError(
            "with RUNPOD_REALTIME_PORT set this worker never takes a job: it serves HTTP instead. "
            "Remove it from the endpoint's environment"
        )


def check_models(settings: Settings, end: float) -> None:
    """Return once builder.sh says that all models are in place, if it brings them.

    Raises ModelError with its reason, or when it has said nothing by `end`, a time.monotonic(); and ConfigError where
    what it brings are not the default preset's models.
    """
    if settings.models_state is None:
        return
    if fault := presets.find_fault(settings.default_preset, config.load_models().sets):
        raise ConfigError(fault)
    while (state := _read(settings.models_state)) != "ready":
        if state:
            raise ModelError(state)
        if time.monotonic() > end:
            raise ModelError("the models are not in place in time (RUNPOD_INIT_TIMEOUT)")
        time.sleep(0.05)


def check_comfyui(settings: Settings, end: float) -> None:
    """Return once ComfyUI answers; raises ComfyUIUnavailable when it has not by `end`, a time.monotonic().

    Raises ConfigError where it cannot run the graphs as GRAPH_OPTIONS has them.
    """
    comfyui = ComfyUI(settings.comfyui_url)
    stats = wait_for_comfyui(comfyui, max(end - time.monotonic(), 0))
    comfyui.close()
    log.info("ComfyUI %s answers at %s", stats["comfyui_version"], comfyui.url)
    if "torch_compile" in settings.graph_options and stats["pytorch_version"].startswith(NO_COMPILE):
        raise ConfigError(
            f"GRAPH_OPTIONS has torch_compile, with which every job fails on torch {stats['pytorch_version']}: "
            "leave it out, or use the image for CUDA 12.8"
        )


def wait_for_comfyui(comfyui: ComfyUI, timeout: float, cancelled: threading.Event | None = None) -> Mapping[str, Any]:
    """ComfyUI's stats as soon as it answers: one that died is started again and needs some seconds.

    Raises ComfyUIUnavailable, with the wish for a new worker, after `timeout` seconds (COMFYUI_BOOT_TIMEOUT).
    """
    cancelled = cancelled or threading.Event()
    end = time.monotonic() + timeout
    while True:
        try:
            return comfyui.stats()
        except ComfyUIUnavailable as error:
            if time.monotonic() > end:
                raise ComfyUIUnavailable(f"{error.message} within {timeout:.0f} s", refresh_worker=True) from error
            log.debug("waiting for ComfyUI: %s", error.message)
        if cancelled.wait(0.2):
            raise JobCancelled("the platform cancelled the job")


def _read(state: Path) -> str:
    return state.read_text(encoding="utf-8").strip() if state.exists() else ""
