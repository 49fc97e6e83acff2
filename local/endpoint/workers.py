"""The workers of an endpoint, as far as their calls tell."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

UNHEALTHY_KEPT = 600.0
"""Seconds that a worker's report of its own unfitness is shown; its process ends right after it."""


@dataclass
class Worker:
    """One worker; times are the registry's clock."""

    seen: float
    ready: bool = False
    """It has asked for a job: its start is behind it."""
    hung_up: bool = False
    """It broke off a call that was waiting for an answer."""
    check: str | None = None
    """The fitness check that failed."""
    reason: str = ""


class Workers:
    """Workers by id; one not heard of for `timeout` seconds is gone."""

    def __init__(self, timeout: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.timeout = timeout
        self.clock = clock
        self._workers: dict[str, Worker] = {}

    def poll(self, worker_id: str, ready: bool = False) -> None:
        """The worker's job loop asks for something."""
        worker = self._see(worker_id)
        worker.seen, worker.hung_up, worker.check = self.clock(), False, None
        worker.ready = worker.ready or ready

    def ping(self, worker_id: str) -> None:
        """A heartbeat.

        The SDK sends it from a process of its own that outlives a killed worker, so after a broken call it counts for
        nothing until the job loop is heard again.
        """
        worker = self._see(worker_id)
        if not worker.hung_up:
            worker.seen = self.clock()

    def hang_up(self, worker_id: str) -> None:
        """A call that waited for an answer was broken off."""
        self._see(worker_id).hung_up = True

    def report_unhealthy(self, worker_id: str, check: str, reason: str) -> None:
        """The worker says that it is unfit, before it ends itself."""
        worker = self._see(worker_id)
        worker.seen, worker.check, worker.reason = self.clock(), check, reason

    def sweep(self) -> set[str]:
        """Forget the workers that are gone; their ids."""
        now = self.clock()
        gone = {name for name, worker in self._workers.items() if now - worker.seen > self._patience(worker)}
        for name in gone:
            del self._workers[name]
        return gone

    def unhealthy(self) -> list[dict[str, str]]:
        """Which workers failed which check, and why."""
        return [
            {"workerId": name, "check": worker.check, "reason": worker.reason}
            for name, worker in self._workers.items()
            if worker.check is not None
        ]

    def count(self, busy: Collection[str]) -> dict[str, int]:
        """The platform's worker counts; `busy` holds the ids of those with a job."""
        unhealthy = {report["workerId"] for report in self.unhealthy()}
        running = {name for name in busy if name in self._workers} - unhealthy
        idle = {name for name, worker in self._workers.items() if worker.ready} - running - unhealthy
        return {
            "idle": len(idle),
            "running": len(running),
            "initializing": len(self._workers) - len(idle | running | unhealthy),
            "ready": len(idle | running),
            "throttled": 0,
            "unhealthy": len(unhealthy),
        }

    def _see(self, worker_id: str) -> Worker:
        return self._workers.setdefault(worker_id, Worker(seen=self.clock()))

    def _patience(self, worker: Worker) -> float:
        return self.timeout if worker.check is None else max(self.timeout, UNHEALTHY_KEPT)
