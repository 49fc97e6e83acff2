"""What a caller of the endpoint uses: run, runsync, status, status-sync, stream, cancel, retry, purge-queue, health."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request

from local.endpoint import messages
from local.endpoint.jobs import Job
from local.endpoint.messages import ErrorReply, JobRequest, JobState, JobStatus, Json, PurgeReply, StreamReply
from local.endpoint.service import Service

router = APIRouter(tags=["client"], responses={"4XX": {"model": ErrorReply}})


async def service_of(request: Request) -> Service:
    """The endpoint that this request came to."""
    service: Service = request.app.state.service
    return service


ServiceOf = Annotated[Service, Depends(service_of)]
WaitMs = Annotated[int, Query(ge=1000, le=300_000, description="longest wait in ms")]


@router.post("/run", response_model=JobState, openapi_extra=messages.body_of(JobRequest))
async def run(request: Request, service: ServiceOf) -> Json:
    """Queue a job and answer at once; its result is kept for 30 minutes. At most 10 MB, result too."""
    job = await _submit(request, service, sync=False)
    return Json({"id": job.id, "status": job.status.value})


@router.post("/runsync", response_model=JobStatus, openapi_extra=messages.body_of(JobRequest))
async def runsync(request: Request, service: ServiceOf, wait: WaitMs = 90_000) -> Json:
    """Queue a job and wait for its end; kept for one minute. At most 20 MB. After `wait` it answers as far as it is."""
    job = await _submit(request, service, sync=True)
    await _wait_for(job, request, service, wait)
    return Json(job.report())


@router.get("/status/{job_id}", response_model=JobStatus)
@router.post("/status/{job_id}", response_model=JobStatus, include_in_schema=False)
async def status(job_id: str, service: ServiceOf) -> Json:
    """A job's state, times, and output or error."""
    return Json(service.jobs.get(job_id).report())


@router.get("/status-sync/{job_id}", response_model=JobStatus)
async def status_sync(job_id: str, request: Request, service: ServiceOf, wait: WaitMs = 90_000) -> Json:
    """The same once the job has ended, or after `wait`: the JavaScript SDK's runSync goes on with it."""
    job = service.jobs.get(job_id)
    await _wait_for(job, request, service, wait)
    return Json(job.report())


@router.get("/stream/{job_id}", response_model=StreamReply)
@router.post("/stream/{job_id}", response_model=StreamReply, include_in_schema=False)
async def stream(job_id: str, service: ServiceOf) -> Json:
    """For clients that stream: the job's state, and no pieces, because this worker sends none."""
    job = service.jobs.get(job_id)
    return Json({"id": job.id, "status": job.status.value, "stream": []})


@router.post("/cancel/{job_id}", response_model=JobState)
async def cancel(job_id: str, service: ServiceOf) -> Json:
    """Take a waiting job from the queue, or have its worker stop it; a finished job stays as it is."""
    job = service.jobs.cancel(job_id)
    return Json({"id": job.id, "status": job.status.value})


@router.post("/purge-queue", response_model=PurgeReply)
async def purge_queue(service: ServiceOf) -> Json:
    """Cancel all jobs that wait; running ones go on."""
    return Json({"removed": service.jobs.purge(), "status": "completed"})


@router.get("/health")
async def health(service: ServiceOf) -> dict[str, Any]:
    """Counts of jobs and workers; `local` is the stand-in's own and not the platform's."""
    return service.health()


async def _submit(request: Request, service: Service, sync: bool) -> Job:
    limit = service.options.payload_limit(sync)
    body = await messages.read_limited(request, limit)
    if body is None:
        name = "/runsync" if sync else "/run"
        raise HTTPException(413, f"the request is larger than the {limit} bytes that {name} takes")
    return service.jobs.submit(messages.parse_request(body), messages.weigh(body), sync)


async def _wait_for(job: Job, request: Request, service: Service, milliseconds: int) -> None:
    """Until the job has ended, the time is over, or the caller has gone."""
    deadline = time.monotonic() + milliseconds / 1000
    while not (job.final or service.closing) and (left := deadline - time.monotonic()) > 0:
        await service.wait(min(left, 1.0))
        if await request.is_disconnected():
            break
