"""One job of an endpoint: its states and its report."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Status(str, Enum):
    """The platform's job states."""

    IN_QUEUE = "IN_QUEUE"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"


FINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.TIMED_OUT})
RETRYABLE = frozenset({Status.FAILED, Status.TIMED_OUT})


class UnknownJob(LookupError):
    """No such job, or its result has expired."""


class QueueFull(Exception):
    """Too many jobs wait, or they hold too much memory."""


class NotRetryable(Exception):
    """Only a FAILED or TIMED_OUT job can be queued again."""


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
    chunks: list[Any] = field(default_factory=list)
    chunks_size: int = 0
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
        report: dict[str, Any] = {"id": self.id, "status": self.status.value}
        if self.taken is not None:
            report |= {"delayTime": round((self.taken - self.submitted) * 1000), "workerId": self.worker}
            if self.finished is not None:
                report["executionTime"] = round((self.finished - self.taken) * 1000)
        return report | self.answer
