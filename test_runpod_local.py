"""Send one job to a RunPod endpoint, the local one or a deployed one, and save the clip and its frames.

Exits 0 once all files are saved, 1 with one line on standard error otherwise, and 130 after Ctrl-C, which cancels the
job.
"""

import argparse
import contextlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import requirements.explain  # noqa: F401 - first: outside the environment, one line says so
from client.arguments import Parser, add_job_options, read_job_input
from client.endpoint import API_BASE, Endpoint, Reply
from client.errors import RunError
from client.jobs import follow_job, run_job
from client.program import run_to_exit_code, treat_endings_as_ctrl_c
from client.results import check_frames, check_writable, describe, make_folder, read_answer, save_files
from client.worker_process import worker_process

LOCAL_URL = "http://localhost:8000"
OPERATIONS = {"sync": ["runsync"], "async": ["run"], "both": ["runsync", "run"]}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line (or `arguments`) says; returns the exit code."""
    options = parse_options(arguments)
    return run_to_exit_code(lambda: perform(options))


def perform(options: argparse.Namespace) -> None:
    """Run the jobs that the mode asks for, fetch a job that ran, or tell the endpoint's health."""
    if options.mode != "health":
        check_writable(options.out)
    with open_endpoint(options) as (endpoint, log):
        if options.mode == "health":
            print_health(endpoint)
        if options.job:
            save(endpoint, follow_job(endpoint, options.job, options.timeout), options)
        folders = [process_job(endpoint, name, options) for name in OPERATIONS.get(options.mode, [])]
        if log and folders:
            log.rename(folders[-1] / "worker.log")


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line, checked."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "mode",
        nargs="?",
        choices=(*OPERATIONS, "health"),
        help="sync: /runsync; async: /run; both: one after the other; health: counts of jobs and workers",
    )
    parser.add_argument("--job", metavar="ID", help="instead of a mode: save the files of a job that was sent before")
    where = parser.add_argument_group("endpoint")
    target = where.add_mutually_exclusive_group()
    target.add_argument("--url", default=LOCAL_URL, help=f"a local endpoint; default: {LOCAL_URL}")
    target.add_argument("--endpoint", metavar="ID", help="a deployed endpoint; its key is read from RUNPOD_API_KEY")
    target.add_argument("--start-worker", action="store_true", help="start handler.py for this run, and stop it again")
    where.add_argument("--api-base", default=API_BASE, metavar="URL", help=f"for --endpoint; default: {API_BASE}")
    where.add_argument("--timeout", type=float, default=3600, metavar="S", help="longest wait for a job; default: 3600")
    add_job_options(parser)
    options = parser.parse_args(arguments)
    if bool(options.mode) == bool(options.job):
        parser.error("give either a mode (sync, async, both, health) or --job ID")
    return options


@contextlib.contextmanager
def open_endpoint(options: argparse.Namespace) -> Iterator[tuple[Endpoint, Path | None]]:
    """The endpoint of the command line, and the log of the worker that was started for it."""
    if options.start_worker:
        log = make_folder(options.out) / f"worker-{os.getpid()}.log"
        with worker_process(log) as url:
            yield Endpoint(url), log
    elif options.endpoint:
        key = os.environ.get("RUNPOD_API_KEY", "")
        if not key:
            raise RunError("--endpoint needs a key: export RUNPOD_API_KEY=... (RunPod console, Credentials, API Keys)")
        yield Endpoint(f"{options.api_base.rstrip('/')}/{options.endpoint}", key), None
    else:
        yield Endpoint(options.url), None


def process_job(endpoint: Endpoint, operation: str, options: argparse.Namespace) -> Path:
    """Run one job, save its files, print where they are, and return their folder."""
    return save(endpoint, run_job(endpoint, operation, read_job_input(options), options.timeout), options)


def save(endpoint: Endpoint, reply: Reply, options: argparse.Namespace) -> Path:
    """Save a finished job's files, print where they are, and return their folder."""
    answer = read_answer(reply.get("output"))
    try:
        saved = save_files(reply["id"], answer, options.out)
    except RunError as error:
        where = f"--endpoint {options.endpoint}" if options.endpoint else f"--url {endpoint.url}"
        again = f"{where} --job {reply['id']} --out DIR gets them again while the endpoint keeps the result"
        raise RunError(f"{error}. The files are made: {again}") from error
    print("\n".join(describe(reply, answer, saved)))
    check_frames(answer, saved, options.num_frames, options.output)
    return saved.folder


def print_health(endpoint: Endpoint) -> None:
    """One line for the jobs, one for the workers."""
    health = endpoint.health()
    for subject in ("jobs", "workers"):
        words = {re.sub("([A-Z])", r" \1", name).lower(): count for name, count in health[subject].items()}
        print(f"{subject}: " + ", ".join(f"{count} {name}" for name, count in words.items()))


if __name__ == "__main__":
    treat_endings_as_ctrl_c()
    sys.exit(main())
