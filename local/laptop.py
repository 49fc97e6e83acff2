"""Off the platform: stand-ins for ComfyUI, where none answers, and for RunPod, as variables for handler.py."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import requests

from local import endpoint

log = logging.getLogger("handler")

# The SDK's checks are for the platform's machines: one of them ends the process where there is no internet.
UNCHECKED = {"RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true", "RUNPOD_SKIP_GPU_CHECK": "true"}
LINGER = 5.0  # seconds: SIGKILL follows SIGTERM after 10 s in docker
ANSWER_SECONDS = 5


@contextmanager
def stand_ins(
    comfyui_at: tuple[str, bool] | None, queue: tuple[str, int] | None, schemas: Mapping[str, Any]
) -> Iterator[dict[str, str]]:
    """Start what is missing, and yield the variables that lead the worker to it.

    comfyui_at: where a ComfyUI may answer, and whether it is counted on: else the preview engine answers; None: one is
    on its way.
    queue: (host, port) for the local endpoint; None: no endpoint. schemas: OpenAPI components of input and output.
    Ends the program where a ComfyUI that is counted on does not answer, or the port is taken.
    """
    with ExitStack() as stack:
        variables = stack.enter_context(comfyui(*comfyui_at)) if comfyui_at else {}
        if queue:
            host, port = queue
            options = {"schemas": schemas, "preview": bool(variables)}
            try:
                running = endpoint.start(port, host, poll_hold=0.5, linger=LINGER, **options)
            except endpoint.PortTaken as error:
                raise SystemExit(f"handler.py: LOCAL_PORT: {error.strerror}") from error
            stack.enter_context(running)
            variables = {**variables, **running.worker_environ(), **UNCHECKED}
        yield variables


@contextmanager
def comfyui(url: str, counted_on: bool) -> Iterator[dict[str, str]]:
    """A ComfyUI for the worker: the one at `url` if it answers, else a preview engine, which the variables name."""
    if answers(url):
        yield {}
        return
    if counted_on:
        raise SystemExit(f"no ComfyUI answers at COMFYUI_URL={url}: start it there, or unset COMFYUI_URL for previews")
    from local import engine  # the image has none: a container without ComfyUI is unfit

    with engine.start() as running:
        log.warning("No ComfyUI answers at %s: the PREVIEW ENGINE makes the clips, and no model runs", url)
        yield {"COMFYUI_URL": running.url, "COMFYUI_DIR": str(running.home)}


def answers(url: str) -> bool:
    """Whether a ComfyUI answers there."""
    try:
        with requests.Session() as session:
            session.trust_env = False  # a proxy of the environment is not for a ComfyUI beside the worker
            return session.get(f"{url}/system_stats", timeout=ANSWER_SECONDS).ok
    except requests.RequestException:
        return False
