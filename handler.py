"""RunPod's entry: takes a job, has the worker run it and returns its answer. `python handler.py` starts it.

On the platform the SDK's job loop takes jobs from the endpoint's queue. Elsewhere the same loop takes them from a local
endpoint, and a preview engine answers where no ComfyUI does: both are stand-ins and say so.
"""

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from worker import config, job, logs, schemas, startup, warmup
from worker.comfyui import ComfyUI
from worker.config import Settings
from worker.errors import ComfyUIUnavailable, ConfigError, InternalError, WorkerError
from worker.progress import Reporter

log = logging.getLogger("handler")


async def handler(event: dict[str, Any]) -> dict[str, Any]:
    """Answer one job of RunPod's queue, {"id", "input"}. A cancelled one has ended on ComfyUI before this returns."""
    with logs.job_context(str(event["id"])):
        log.info("HANDLER CALLED - NEW REQUEST RECEIVED")
        log.info("Job ID: %s", event["id"])
        cancelled = threading.Event()
        async with Reporter(lambda progress: send_progress(event, progress)) as reporter:
            work = asyncio.ensure_future(asyncio.to_thread(answer, event, reporter.report, cancelled))
            try:
                return await asyncio.shield(work)
            except asyncio.CancelledError:
                cancelled.set()
                await asyncio.wait([work])
                raise


def answer(
    event: dict[str, Any], report: Callable[[dict[str, Any]], None], cancelled: threading.Event
) -> dict[str, Any]:
    """The job's result or its error, as the answer to the caller; no exception leaves this function."""
    log.info("Processing job: %s", event["id"])
    try:
        result = job.run(event, config.load(), report, cancelled)
    except WorkerError as error:
        log.warning("Status: error: %s: %s", error.code, error.message)
        return error.answer()
    except Exception as error:
        log.exception("Status: error: a fault of the worker's own")
        return InternalError(f"the worker failed: {type(error).__name__}; its log has the details").answer()
    log.info("Status: success %s", result["timings"])
    return result


async def send_progress(event: dict[str, Any], progress: dict[str, Any]) -> None:
    """Tell the queue, and return once it knows: the SDK's own progress_update can arrive after the result."""
    if config.load().has_queue:
        from runpod.http_client import AsyncClientSession
        from runpod.serverless.modules.rp_http import send_result

        async with AsyncClientSession() as session:
            await send_result(session, {"status": "IN_PROGRESS", "output": progress}, event)


@contextmanager
def local_comfyui(settings: Settings) -> Iterator[bool]:
    """Off the platform: the ComfyUI at COMFYUI_URL, if one answers or builder.sh starts one, else a preview engine.

    Yields whether it is the preview engine.
    """
    with ExitStack() as stack:
        preview = False
        try:
            if not settings.comfyui_log:
                ComfyUI(settings.comfyui_url).stats()
        except ComfyUIUnavailable:
            from local import engine

            running = stack.enter_context(engine.start())
            preview = True
            config.export({"COMFYUI_URL": running.url, "COMFYUI_DIR": str(running.home)})
            log.warning("No ComfyUI at %s: a PREVIEW ENGINE makes the clips, not Hunyuan", settings.comfyui_url)
        yield preview


@contextmanager
def local_queue(settings: Settings, preview: bool) -> Iterator[None]:
    """Off the platform: a local endpoint whose queue the SDK's job loop takes jobs from."""
    from local import endpoint

    shown = {"schemas": schemas.components(settings), "preview": preview}
    try:
        served = endpoint.start(settings.local_port, settings.local_host, poll_hold=0.5, **shown)
    except endpoint.PortTaken as error:
        raise ConfigError(f"LOCAL_PORT: {error.strerror}") from error
    with served as local:
        # The SDK's checks are for the platform's machines: one of them ends the process where there is no internet.
        unchecked = {"RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true", "RUNPOD_SKIP_GPU_CHECK": "true"}
        config.export({**local.worker_environ(), **unchecked})
        yield


def take_jobs() -> None:
    """Run the SDK until it is told to stop. It reads its environment when it is imported, hence here and not above."""
    settings, start = config.load(), time.monotonic()  # anew: the stand-ins may have changed them
    config.export({"RUNPOD_LOG_LEVEL": settings.sdk_log_level})
    import runpod

    # The platform hears the name of the one that fails.
    def models_in_place() -> None:
        startup.check_models(settings, start + settings.init_timeout)

    def comfyui_answers() -> None:
        startup.check_comfyui(settings, start + settings.boot_timeout)

    def warm_up() -> None:
        warmup.run(settings, start + settings.init_timeout)

    for check in (models_in_place, comfyui_answers, *([warm_up] if settings.warmup else [])):
        runpod.serverless.register_fitness_check(check)

    log.info("Handler callable: %s", callable(handler))
    runpod.serverless.start({"handler": handler, "concurrency_modifier": lambda _: settings.concurrency})


def main(arguments: list[str]) -> None:
    """Take jobs: from the platform's queue when there is one, else from a local endpoint."""
    settings = config.load()
    logs.setup(settings.log_level)
    log.info("INITIALIZING RUNPOD SERVERLESS WORKER")
    if settings.has_queue:
        startup.refuse_silencers(settings, arguments)
        take_jobs()
        return
    startup.refuse_silencers(settings, [])
    with local_comfyui(settings) as preview, ExitStack() as stack:
        if not startup.silencers(arguments):  # by hand the SDK's own server, or one job of its own, is a choice
            stack.enter_context(local_queue(settings, preview))
        take_jobs()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ConfigError as error:
        sys.exit(f"handler.py: {error.message}")
