"""RunPod's entry: `python handler.py` takes jobs from the queue and answers them; off RunPod between two stand-ins."""

import logging
import sys
from functools import partial
from typing import Any

import requirements.explain  # noqa: F401 - first: outside the environment, one line says so
from worker import config, job, logs, schemas, sdk, startup
from worker.config import Settings
from worker.errors import ConfigError, InternalError, WorkerError

log = logging.getLogger("handler")


async def handler(event: dict[str, Any]) -> dict[str, Any]:
    """Answer one job of RunPod's queue, {"id", "input"}. A cancelled one has ended on ComfyUI before this returns."""
    with logs.job_context(str(event["id"])):
        log.info("HANDLER CALLED - NEW REQUEST RECEIVED")
        log.info("Job ID: %s", event["id"])
        return await sdk.run_in_thread(event, partial(answer, event))


def answer(event: dict[str, Any], report: sdk.Report, cancelled: sdk.Cancelled) -> dict[str, Any]:
    """The job's result or its error, as the answer to the caller; no exception leaves this function."""
    log.info("Processing job: %s", event["id"])
    try:
        result = job.run(event, config.load(), report, cancelled)
        log.info("Status: success %s", result["timings"])
        return result
    except WorkerError as error:
        log.warning("Status: error: %s: %s", error.code, error.message)
        return error.answer()
    except Exception as error:
        log.exception("Status: error: a fault of the worker's own")
        return InternalError(f"the worker failed: {type(error).__name__}; its log has the details").answer()


def serve(settings: Settings) -> None:
    """Take jobs until told to stop."""
    config.export({"RUNPOD_LOG_LEVEL": settings.sdk_log_level})
    sdk.return_copies()
    import runpod  # it reads its environment now

    for check in startup.checks(settings):
        runpod.serverless.register_fitness_check(check)
    sdk.amend_job_loop()
    log.info("Handler callable: %s", callable(handler))
    runpod.serverless.start({"handler": handler, "concurrency_modifier": lambda _: settings.concurrency})


def main(arguments: list[str]) -> None:
    """Take jobs: from the platform's queue when there is one, else from a local endpoint."""
    sdk.answer_help(arguments, __doc__)
    settings = config.join_boot()
    logs.setup(settings.log_level)
    log.info("INITIALIZING RUNPOD SERVERLESS WORKER")
    sdk.refuse_silencers(settings, arguments if settings.has_queue else [])
    serve(settings) if settings.has_queue else serve_locally(settings, arguments)


def serve_locally(settings: Settings, arguments: list[str]) -> None:
    """Take jobs from a local endpoint; by hand the SDK's own server, or one job of its own, is a choice."""
    from local import laptop

    queue = None if sdk.find_silencers(arguments) else (settings.local_host, settings.local_port)
    comfyui = (settings.comfyui_url, config.is_set("COMFYUI_URL")) if not settings.comfyui_log else None
    with laptop.stand_ins(comfyui, queue, schemas.components(settings)) as variables:
        serve(config.export(variables))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ConfigError as error:
        sys.exit(f"handler.py: {error.message}")
