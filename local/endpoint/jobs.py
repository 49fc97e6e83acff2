"""The jobs of an endpoint and what may happen to them; no HTTP, one thread."""

import time
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from local.endpoint.options import Options

STOP_GRACE = 0.3
"""A stop signal waits until a job has run so long: the SDK drops one that comes before its task has started."""


class Status(str, Enum):
    """The platform's job states."""

    IN_QUEUE = "IN_QUEUE"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"


FINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.TIMED_OUT})


class UnknownJob(LookupError):
    """No such job, or its result has expired."""


@dataclass(eq=False)
class Job:
    """One job; times are the store's clock, limits in seconds, sizes in bytes."""

    id: str
    request: dict[str, Any]
    """What the worker gets beside the id: input, and webhook, policy and s3Config where given."""
    request_size: int
    submitted: float
    execution_timeout: float
    ttl: float
    status: Status = Status.IN_QUEUE
    worker: str | None = None
    taken: float | None = None
    finished: float | None = None
    answer: dict[str, Any] = field(default_factory=dict)
    """`output` and `error`, where there are such; while the job runs, `output` is its last progress."""
    answer_size: int = 0
    told: bool = False
    """Whether a caller has been told how it ended."""
    requeued: bool = False

    @property
    def sync(self) -> bool:
        """Came by /runsync."""
        return self.id.startswith("sync-")

    @property
    def final(self) -> bool:
        """Nothing more will happen to it."""
        return self.status in FINAL

    def report(self) -> dict[str, Any]:
        """The platform's status reply; times in milliseconds."""
        self.told = self.final
        report: dict[str, Any] = {"id": self.id, "status": self.status.value}
        if self.taken is not None:
            report |= {"delayTime": round((self.taken - self.submitted) * 1000), "workerId": self.worker}
            if self.finished is not None:
                report["executionTime"] = round((self.finished - self.taken) * 1000)
        return report | self.answer


class JobStore:
    """Jobs by id, in the order they came; `notify` is called with each job whose status has changed."""

    def __init__(
        self,
        options: Options,
        clock: Callable[[], float] = time.monotonic,
        notify: Callable[[Job], None] = lambda job: None,
    ) -> None:
        self.options = options
        self.clock = clock
        self.notify = notify
        self.jobs: dict[str, Job] = {}
        self.queue: list[Job] = []
        self.completed = self.failed = 0
        self.late_updates = 0
        self._stops: dict[str, dict[str, float]] = {}

    def submit(self, request: dict[str, Any], size: int, sync: bool) -> Job:
        """Queue a job."""
        self._make_room(size)
        policy = request.get("policy", {})
        job = Job(
            id=f"{'sync-' if sync else ''}{uuid.uuid4()}-u1",
            request=request,
            request_size=size,
            submitted=self.clock(),
            execution_timeout=(policy.get("executionTimeout") or self.options.execution_timeout * 1000) / 1000,
            ttl=(policy.get("ttl") or self.options.ttl * 1000) / 1000,
        )
        self.jobs[job.id] = job
        self.queue.append(job)
        self.notify(job)
        return job

    def get(self, job_id: str) -> Job:
        """The job; raises UnknownJob."""
        try:
            return self.jobs[job_id]
        except KeyError:
            raise UnknownJob(job_id) from None

    def take(self, worker: str, count: int = 1) -> list[Job]:
        """Give up to `count` of the longest waiting jobs to `worker`."""
        taken, self.queue = self.queue[:count], self.queue[count:]
        for job in taken:
            job.status, job.worker, job.taken = Status.IN_PROGRESS, worker, self.clock()
            self.notify(job)
        return taken

    def update(self, job_id: str, output: Any, size: int) -> None:
        """Take a progress update.

        The SDK sends each from a thread of its own, so one can arrive after the result, and on the platform take its
        place. Here it is counted and dropped, so that one misplaced update does not fail every other check of a worker.
        """
        job = self.get(job_id)
        if job.status is not Status.IN_PROGRESS:
            self.late_updates += 1
            return
        job.answer, job.answer_size = {"output": output}, size

    def finish(self, job_id: str, answer: dict[str, Any], size: int) -> None:
        """Take a result: `output`, `error` or both. The first one counts, and a job that has ended keeps its state."""
        job = self.get(job_id)
        if not job.final:
            self._end(job, Status.FAILED if "error" in answer else Status.COMPLETED, answer, size)

    def lose_result(self, job_id: str) -> None:
        """A result over the payload limit: the job counts as completed, and has no output."""
        self.finish(job_id, {}, 0)

    def cancel(self, job_id: str) -> Job:
        """Cancel a job, and tell its worker; a finished one stays as it is."""
        job = self.get(job_id)
        if not job.final:
            self._signal_stop(job)
            self._end(job, Status.CANCELLED)
        return job

    def purge(self) -> int:
        """Cancel all jobs that wait; how many they were."""
        waiting = list(self.queue)
        for job in waiting:
            self._end(job, Status.CANCELLED)
        return len(waiting)

    def take_stops(self, worker: str) -> list[str]:
        """The ids that `worker` is to stop; each is told once."""
        stops, now = self._stops.get(worker, {}), self.clock()
        due = [job_id for job_id, when in stops.items() if when <= now]
        for job_id in due:
            del stops[job_id]
        return due

    def sweep(self, gone: Collection[str] = ()) -> None:
        """Do what is due by now: jobs out of time, results out of date, jobs of workers that are gone."""
        for job in list(self.jobs.values()):
            self._check(job, self.clock(), gone)
        for worker in gone:
            self._stops.pop(worker, None)

    def _check(self, job: Job, now: float, gone: Collection[str]) -> None:
        if job.finished is not None:
            if now - job.finished > self.options.retention(job.sync):
                del self.jobs[job.id]
        elif now - job.submitted > job.ttl:
            self._time_out(job, f"the job outlived its ttl of {job.ttl:g} s")
        elif job.taken is not None and now - job.taken > job.execution_timeout:
            self._time_out(job, f"the job ran longer than its executionTimeout of {job.execution_timeout:g} s")
        elif job.worker in gone:
            self._replace_worker(job)

    def _time_out(self, job: Job, reason: str) -> None:
        self._signal_stop(job)
        self._end(job, Status.TIMED_OUT, {"error": reason})

    def _replace_worker(self, job: Job) -> None:
        if job.requeued:
            self._end(job, Status.FAILED, {"error": f"worker {job.worker} vanished, like the one before it"})
            return
        job.requeued, job.status, job.worker, job.taken, job.answer = True, Status.IN_QUEUE, None, None, {}
        self.queue.insert(0, job)
        self.notify(job)

    def _signal_stop(self, job: Job) -> None:
        if job.worker is not None and job.taken is not None:
            self._stops.setdefault(job.worker, {})[job.id] = max(self.clock(), job.taken + STOP_GRACE)

    def _end(self, job: Job, status: Status, answer: dict[str, Any] | None = None, size: int = 0) -> None:
        if job in self.queue:
            self.queue.remove(job)
        job.status, job.finished, job.answer, job.answer_size = status, self.clock(), answer or {}, size
        self.completed += status is Status.COMPLETED
        self.failed += status in (Status.FAILED, Status.TIMED_OUT)
        job.request, job.request_size = {k: v for k, v in job.request.items() if k != "input"}, 0
        self.notify(job)

    def _make_room(self, size: int) -> None:
        held = size + sum(job.request_size + job.answer_size for job in self.jobs.values())
        for job in sorted((job for job in self.jobs.values() if job.final), key=lambda job: job.finished or 0):
            if held <= self.options.memory_limit:
                break
            held -= job.request_size + job.answer_size
            del self.jobs[job.id]
