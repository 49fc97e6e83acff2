"""One job, from its submission to its answer."""

import contextlib
import time
from collections.abc import Mapping
from typing import Any

from client.endpoint import Endpoint, Reply
from client.errors import RunError
from client.progress import ProgressBar
from client.results import describe_error

WAITING = ("IN_QUEUE", "IN_PROGRESS")
POLL_SECONDS = 0.5


def run_job(endpoint: Endpoint, operation: str, job_input: Mapping[str, Any], timeout: float) -> Reply:
    """Submit the job, follow it to COMPLETED and return the endpoint's last word on it.

    Whatever else ends the wait (Ctrl-C, `timeout` seconds, a lost connection) cancels the job on the endpoint.
    """
    deadline = time.monotonic() + timeout
    with ProgressBar() as bar:
        bar.show("sending")
        reply = endpoint.submit(operation, job_input)
        job_id = reply["id"]
        try:
            reply = _follow(endpoint, reply, deadline, bar)
        except BaseException:
            with contextlib.suppress(RunError):
                endpoint.cancel(job_id)
            raise
        bar.show(reply["status"], {"percent": 100} if reply["status"] == "COMPLETED" else None)
    _check_ended_well(reply)
    return reply


def follow_job(endpoint: Endpoint, job_id: str, timeout: float) -> Reply:
    """Follow a job that was sent before to COMPLETED; it is never cancelled. Raises RunError where it is not kept."""
    with ProgressBar() as bar:
        reply = _follow(endpoint, endpoint.status(job_id), time.monotonic() + timeout, bar)
    _check_ended_well(reply)
    return reply


def _follow(endpoint: Endpoint, reply: Reply, deadline: float, bar: ProgressBar) -> Reply:
    while reply["status"] in WAITING:
        bar.show(reply["status"], reply.get("output"))
        if time.monotonic() > deadline:
            raise RunError(f"job {reply['id']} is still {reply['status']} when --timeout ends: {_advice(reply)}")
        time.sleep(POLL_SECONDS)
        reply = endpoint.status(reply["id"])
    return reply


def _advice(reply: Reply) -> str:
    if reply["status"] == "IN_QUEUE":
        return "no worker took it; see the endpoint's health and its workers' logs"
    return "raise --timeout, or ask for fewer frames or steps"


def _check_ended_well(reply: Reply) -> None:
    job_id, status = reply["id"], reply["status"]
    if status == "COMPLETED":
        return
    if status == "TIMED_OUT":
        raise RunError(
            f"job {job_id} TIMED_OUT: raise the endpoint's execution timeout, or ask for fewer frames or steps"
        )
    if status == "CANCELLED":
        raise RunError(f"job {job_id} was CANCELLED on the endpoint: run it again")
    raise RunError(f"job {job_id} {status}: {describe_error(reply)}")
