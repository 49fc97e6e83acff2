"""What the routes share: the jobs, the workers, a bell for those who wait, and the clockwork."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

from local.endpoint.jobs import Job, JobStore, Status
from local.endpoint.options import Options
from local.endpoint.workers import Workers

TICK = 0.25
"""Seconds between two looks at what is due."""

RECENT = 10.0
"""Seconds for which a caller is expected to look for a result again."""

log = logging.getLogger(__name__)


class Service:
    """One endpoint; lives in one event loop."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.jobs = JobStore(options, notify=self._on_change)
        self.workers = Workers(options.worker_timeout)
        self.closing = False
        self._asked_for_jobs = False
        self._done_statuses = iter(options.faults.job_done_statuses)
        self._bell = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: object) -> AsyncIterator[None]:
        """Keep the clockwork going while the server runs."""
        self._loop = asyncio.get_running_loop()
        clockwork = asyncio.create_task(self._run_clockwork())
        yield
        clockwork.cancel()

    def close(self) -> None:
        """Answer everyone who waits; safe from any thread."""
        self.closing = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop may have closed meanwhile
                self._loop.call_soon_threadsafe(self._ring)

    def has_untold_results(self) -> bool:
        """Whether a job has just ended and nobody has been told; safe from any thread."""
        jobs, now = list(self.jobs.jobs.values()), self.jobs.clock()
        return any(job.finished is not None and not job.told and now - job.finished < RECENT for job in jobs)

    async def wait(self, seconds: float) -> None:
        """Until some job's status changes, or `seconds` have passed."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._bell.wait(), seconds)

    def is_first_ask(self) -> bool:
        """Whether no worker has asked for a job until now: from then on the endpoint is of use."""
        first, self._asked_for_jobs = not self._asked_for_jobs, True
        return first

    def next_job_done_status(self) -> int:
        """What the next result is answered with."""
        return next(self._done_statuses, 200)

    def health(self) -> dict[str, Any]:
        """The platform's health reply, and under `local` what only a stand-in can tell."""
        running = [job for job in self.jobs.jobs.values() if job.status is Status.IN_PROGRESS]
        return {
            "jobs": {
                "completed": self.jobs.completed,
                "failed": self.jobs.failed,
                "inProgress": len(running),
                "inQueue": len(self.jobs.queue),
                "retried": 0,
            },
            "workers": self.workers.count({job.worker for job in running if job.worker is not None}),
            "local": {
                "standIn": True,
                "preview": self.options.preview,
                "queue": [job.id for job in self.jobs.queue],
                "lateUpdates": self.jobs.late_updates,
                "unhealthy": self.workers.unhealthy(),
            },
        }

    async def _run_clockwork(self) -> None:
        while True:
            gone = self.workers.sweep()
            for worker in gone:
                log.warning("worker %s has not been heard of for %g s", worker, self.options.worker_timeout)
            self.jobs.sweep(gone)
            await asyncio.sleep(TICK)

    def _ring(self) -> None:
        self._bell.set()
        self._bell = asyncio.Event()

    def _on_change(self, job: Job) -> None:
        self._ring()
        log.info("job %s %s%s", job.id, job.status.value, f" on {job.worker}" if job.worker else "")
