"""Whether this worker is fit to take jobs: checked before it asks for the first one."""

import logging
import time

from worker.comfyui import ComfyUI
from worker.config import Settings
from worker.errors import ComfyUIUnavailable, ConfigError

log = logging.getLogger(__name__)

# With any of these the SDK never asks the queue for a job, while the endpoint looks healthy.
SILENCERS = {
    "--rp_serve_api": "it serves the SDK's test API instead",
    "--test_input": "it runs that one job and exits",
}


def silencers(arguments: list[str]) -> list[str]:
    """The flags among a command's arguments that keep the SDK from taking jobs."""
    return [flag for flag in SILENCERS if any(argument.split("=", maxsplit=1)[0] == flag for argument in arguments)]


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


def wait_for_comfyui(settings: Settings) -> None:
    """Return once ComfyUI answers; raises ComfyUIUnavailable when it has not within COMFYUI_BOOT_TIMEOUT."""
    comfyui = ComfyUI(settings.comfyui_url)
    end = time.monotonic() + settings.boot_timeout
    while True:
        try:
            log.info("ComfyUI %s answers at %s", comfyui.stats()["comfyui_version"], settings.comfyui_url)
            return
        except ComfyUIUnavailable as error:
            if time.monotonic() > end:
                raise ComfyUIUnavailable(f"{error.message} within {settings.boot_timeout:.0f} s") from error
        time.sleep(0.5)
