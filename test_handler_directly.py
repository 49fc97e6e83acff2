"""Run one job in this process, through handler.py, and save the clip and its frames.

If no ComfyUI answers, the preview engine does. Exits 0 once all files are saved, 1 with one line on standard error
otherwise, and 130 after Ctrl-C.
"""

import argparse
import asyncio
import logging
import sys
import time
import uuid
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import requirements.explain  # noqa: F401 - first: outside the environment, one line says so
from client.arguments import Parser, add_job_options, read_job_input
from client.errors import RunError
from client.program import run_to_exit_code, treat_endings_as_ctrl_c
from client.progress import ProgressBar
from client.results import check_frames, describe, job_folder, make_folder, read_answer, save_files


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line (or `arguments`) says; returns the exit code."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_job_options(parser)
    options = parser.parse_args(arguments)
    return run_to_exit_code(lambda: process_job(options))


def process_job(options: argparse.Namespace) -> None:
    """Run the job, save its files and print where they are."""
    job_id = f"direct-{uuid.uuid4()}"
    job = {"id": job_id, "input": read_job_input(options)}
    log = make_folder(job_folder(job_id, options.out)) / "worker.log"
    started = time.monotonic()
    output = run_handler(job, log)
    reply = {"executionTime": (time.monotonic() - started) * 1000}
    answer = read_answer(output)
    saved = save_files(job_id, answer, options.out)
    print("\n".join(describe(reply, answer, saved)))
    check_frames(answer, saved, options.num_frames, options.output)


def run_handler(job: dict[str, Any], log: Path) -> object:
    """The handler's answer, with a ComfyUI or the preview engine for it to talk to; the worker logs to `log`."""
    # Here, since the worker's libraries take a second to load that --help and a wrong option need not wait for.
    import handler
    from local import laptop
    from worker import config
    from worker.errors import WorkerError

    try:
        settings = config.load()
        logging.basicConfig(filename=log, level=settings.log_level, format="%(asctime)s %(levelname)s %(message)s")
        with laptop.comfyui(settings.comfyui_url, config.is_set("COMFYUI_URL")) as variables, ProgressBar() as bar:
            config.export(variables)
            return asyncio.run(_watch(handler.handler(job), bar))
    except WorkerError as error:
        raise RunError(f"{error.message} (log: {log})") from error


async def _watch(work: Coroutine[Any, Any, object], bar: ProgressBar) -> object:
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait([task], timeout=0.5))[0]:
            bar.show("running")
    finally:
        task.cancel()
    return await task


if __name__ == "__main__":
    treat_endings_as_ctrl_c()
    sys.exit(main())
