"""Run one job in this process, through handler.py, and save the clip and its frames.

Where no ComfyUI answers, the preview engine does. Exit code 0 when everything that was asked for is on disk, 1 with
one line on standard error when not, 130 after Ctrl-C.
"""

import argparse
import asyncio
import sys
import time
import uuid
from pathlib import Path
from typing import Any

from client.arguments import Parser, add_job_options, read_job_input
from client.errors import RunError
from client.progress import ProgressBar
from client.results import check_frames, describe, read_answer, save_files


def main() -> int:
    """Do what the command line says."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_job_options(parser)
    options = parser.parse_args()
    try:
        process_job(options)
    except RunError as error:
        print(f"{Path(__file__).name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{Path(__file__).name}: interrupted; the job is stopped", file=sys.stderr)
        return 130
    return 0


def process_job(options: argparse.Namespace) -> None:
    """Run the job, save its files and print where they are."""
    job = {"id": f"direct-{uuid.uuid4()}", "input": read_job_input(options)}
    started = time.monotonic()
    answer = read_answer(run_handler(job))
    reply = {"executionTime": (time.monotonic() - started) * 1000}
    saved = save_files(job["id"], answer, options.out)
    print("\n".join(describe(reply, answer, saved)))
    check_frames(answer, saved, options.num_frames, options.output)


def run_handler(job: dict[str, Any]) -> object:
    """The handler's answer, with a ComfyUI or the preview engine for it to talk to."""
    import handler  # here, since the RunPod SDK takes seconds to load that --help and a wrong option need not wait for

    with handler.local_comfyui(), ProgressBar() as bar:
        return asyncio.run(_watch(handler.handler(job), bar))


async def _watch(work: Any, bar: ProgressBar) -> object:
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait([task], timeout=0.5))[0]:
            bar.show("running")
    finally:
        task.cancel()
    return await task


if __name__ == "__main__":
    sys.exit(main())
