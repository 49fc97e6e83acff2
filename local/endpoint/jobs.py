"""The jobs of an endpoint and what may happen to them; no HTTP, one thread."""

import time
import uuid
from collections.abc import Callable, Collection
from typing import Any

from local.endpoint.job import RETRYABLE, Job, NotRetryable, QueueFull, Status, UnknownJob
from local.endpoint.options import Options

STOP_GRACE = 0.3
"""A stop signal waits until a job has run so long: the SDK drops one that comes before its task has started."""


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
        self.completed = self.failed = self.retried = 0
        self.late_updates = self.oversized_results = 0
        self._stops: dict[str, dict[str, float]] = {}

    def submit(self, request: dict[str, Any], size: int, sync: bool) -> Job:
        """Queue a job; raises QueueFull."""
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
        place. Here it is counted and dropped, so that one misplaced update does not fail every other check of a worker;
        Faults.late_progress_overwrites does as the platform does.
        """
        job = self.get(job_id)
        if job.status is not Status.IN_PROGRESS:
            self.late_updates += 1
            if not (job.final and self.options.faults.late_progress_overwrites):
                return
            job.status, job.finished = Status.IN_PROGRESS, None
            self.notify(job)
        job.answer, job.answer_size = {"output": output}, size

    def finish(self, job_id: str, answer: dict[str, Any], size: int) -> None:
        """Take a result: `output`, `error` or both. The first one counts, and a job that has ended keeps its state."""
        job = self.get(job_id)
        if not job.final:
            self._end(job, Status.FAILED if "error" in answer else Status.COMPLETED, answer, size)

    def lose_result(self, job_id: str) -> None:
        """A result over the payload limit: the job counts as completed, and has no output."""
        self.oversized_results += 1
        self.finish(job_id, {}, 0)

    def add_chunk(self, job_id: str, chunk: Any, size: int) -> bool:
        """Keep a streamed piece until it is asked for; False when the job holds its payload limit already."""
        job = self.get(job_id)
        if job.chunks_size + size > self.options.payload_limit(job.sync):
            return False
        job.chunks.append(chunk)
        job.chunks_size += size
        return True

    def drain_chunks(self, job_id: str) -> list[Any]:
        """The streamed pieces since the last call; each is given once."""
        job = self.get(job_id)
        chunks, job.chunks, job.chunks_size = job.chunks, [], 0
        return chunks

    def cancel(self, job_id: str) -> Job:
        """Cancel a job, and tell its worker; a finished one stays as it is."""
        job = self.get(job_id)
        if not job.final:
            self._signal_stop(job)
            self._end(job, Status.CANCELLED)
        return job

    def retry(self, job_id: str) -> Job:
        """Queue a failed job again under its id, its old result gone; raises NotRetryable."""
        job = self.get(job_id)
        if job.status not in RETRYABLE:
            raise NotRetryable(f"job {job_id} is {job.status.value}: only FAILED or TIMED_OUT jobs can be retried")
        self.retried += 1
        job.submitted, job.requeued = self.clock(), False
        self._requeue(job, len(self.queue))
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
        job.requeued = True
        self._requeue(job, 0)

    def _requeue(self, job: Job, place: int) -> None:
        job.status, job.worker, job.taken, job.finished = Status.IN_QUEUE, None, None, None
        job.answer, job.answer_size, job.chunks, job.chunks_size = {}, 0, [], 0
        self.queue.insert(place, job)
        self.notify(job)

    def _signal_stop(self, job: Job) -> None:
        if job.worker is not None and job.taken is not None:
            self._stops.setdefault(job.worker, {})[job.id] = max(self.clock(), job.taken + STOP_GRACE)

    def _end(self, job: Job, status: Status, answer: dict[str, Any] | None = None, size: int = 0) -> None:
        if job in self.queue:
            self.queue.remove(job)
        job.status, job.finished, job.answer, job.answer_size = status, self.clock(), answer or {}, size
        self.completed += status is Status.COMPLETED
        self.failed += status in RETRYABLE
        if status not in RETRYABLE:
            job.request, job.request_size = {k: v for k, v in job.request.items() if k != "input"}, 0
        self.notify(job)

    def _make_room(self, size: int) -> None:
        if len(self.queue) >= self.options.queue_limit:
            raise QueueFull(f"{len(self.queue)} jobs wait: try again later")
        held = size + sum(job.request_size + job.answer_size + job.chunks_size for job in self.jobs.values())
        for job in sorted((job for job in self.jobs.values() if job.final), key=lambda job: job.finished or 0):
            if held <= self.options.memory_limit:
                break
            held -= job.request_size + job.answer_size + job.chunks_size
            del self.jobs[job.id]
        if held > self.options.memory_limit:
            raise QueueFull("the jobs that wait or run hold all memory they may: try again later")
