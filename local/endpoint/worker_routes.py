"""What a worker uses: job-take, job-stop, job-done, ping, as the runpod SDK calls them."""

import json
import logging
import time
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, HTTPException, Query, Request, Response

from local.endpoint import messages
from local.endpoint.client_routes import ServiceOf
from local.endpoint.jobs import Job
from local.endpoint.messages import ErrorReply, JobDone, Json
from local.endpoint.service import TICK, Service

router = APIRouter(tags=["worker"], responses={"4XX": {"model": ErrorReply}})
log = logging.getLogger(__name__)

Found = TypeVar("Found")
NOTHING: dict[int | str, dict[str, Any]] = {204: {"description": "nothing within the poll's time"}}


@router.get("/job-take/{worker_id}", responses=NOTHING)
async def take_job(worker_id: str, request: Request, service: ServiceOf) -> Response:
    """Wait for a job: its id, its input and what else the caller sent."""
    jobs = await _take(request, service, worker_id, 1)
    return Json(_handed_over(jobs[0])) if jobs else Response(status_code=204)


@router.get("/job-take-batch/{worker_id}", responses=NOTHING)
async def take_jobs(
    worker_id: str, request: Request, service: ServiceOf, batch_size: Annotated[int, Query(ge=1)] = 1
) -> Response:
    """Wait for jobs: a list of up to `batch_size`."""
    jobs = await _take(request, service, worker_id, batch_size)
    return Json([_handed_over(job) for job in jobs]) if jobs else Response(status_code=204)


@router.get("/job-stop/{worker_id}", responses=NOTHING)
async def stop_jobs(worker_id: str, request: Request, service: ServiceOf) -> Response:
    """Wait for jobs that this worker is to stop: cancelled or out of time."""
    stops = await _poll(request, service, worker_id, lambda: service.jobs.take_stops(worker_id))
    return Json({"jobsToStop": stops}) if stops else Response(status_code=204)


@router.post("/job-done/{worker_id}/{job_id}", openapi_extra=messages.body_of(JobDone))
async def finish_job(worker_id: str, job_id: str, request: Request, service: ServiceOf) -> Json:
    """Take a result or a progress update.

    A result over the payload limit is answered 400 and lost, and the job completes with no output, as on the platform.
    """
    service.workers.poll(worker_id)
    job = service.jobs.get(job_id)
    limit = service.options.payload_limit(job.sync)
    body = await messages.read_limited(request, limit)
    if body is None:
        service.jobs.lose_result(job_id)
        log.warning("job %s: its result is over %d bytes and is lost", job_id, limit)
        raise HTTPException(400, f"the result is larger than {limit} bytes")
    message = messages.parse_object(body)
    if message.get("status") == "IN_PROGRESS":
        return _update(service, job, message.get("output"), messages.weigh(body))
    return _finish(service, job, message, messages.weigh(body))


@router.get("/ping/{worker_id}")
async def ping(worker_id: str, service: ServiceOf, status: str = "", check: str = "unknown", reason: str = "") -> Json:
    """A worker's heartbeat, or with status=unhealthy its report that a fitness check failed."""
    if service.options.faults.ping_status != 200:
        raise HTTPException(service.options.faults.ping_status, "pings are refused: a fault that was asked for")
    if status == "unhealthy":
        service.workers.report_unhealthy(worker_id, check, reason)
        log.warning("worker %s is unfit: %s: %s", worker_id, check, reason)
    else:
        service.workers.ping(worker_id)
    return Json({"status": "ok"})


async def _take(request: Request, service: Service, worker_id: str, count: int) -> list[Job]:
    service.workers.poll(worker_id, ready=True)
    if service.is_first_ask():
        log.info("Ready: %s, Ctrl-C stops it", str(request.base_url).rstrip("/"))
    return await _poll(request, service, worker_id, lambda: service.jobs.take(worker_id, count)) or []


async def _poll(request: Request, service: Service, worker_id: str, find: Callable[[], Found]) -> Found | None:
    """Look until `find` finds something or the poll's time is over; nothing is found for a worker that hung up."""
    deadline = time.monotonic() + service.options.poll_hold
    while True:
        if await request.is_disconnected():
            service.workers.hang_up(worker_id)
            return None
        service.workers.poll(worker_id)
        found = find()
        left = deadline - time.monotonic()
        if found or service.closing or left <= 0:
            return found
        await service.wait(min(left, TICK))


def _handed_over(job: Job) -> dict[str, Any]:
    return {"id": job.id, **job.request}


def _update(service: Service, job: Job, output: Any, size: int) -> Json:
    if job.final:
        log.warning("job %s: a progress update came after its result", job.id)
    service.jobs.update(job.id, output, size)
    return Json({"status": "ok"})


def _finish(service: Service, job: Job, message: dict[str, Any], size: int) -> Json:
    status = service.next_job_done_status()
    if status != 200:
        raise HTTPException(status, "the result is refused: a fault that was asked for")
    if message.get("stopPod"):
        log.info("job %s asks for a new worker; a stand-in has none to give", job.id)
    answer: dict[str, Any] = {key: message[key] for key in ("output", "error") if key in message}
    if "error" in answer and not isinstance(answer["error"], str):
        answer["error"] = json.dumps(answer["error"])
    service.jobs.finish(job.id, answer, size)
    return Json({"status": "ok"})
