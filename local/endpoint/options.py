"""What a local endpoint can be told: the platform's limits as defaults, and faults as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MB = 1_000_000


@dataclass(frozen=True)
class Faults:
    """Misbehaviour of the platform, to try a worker against."""

    job_done_statuses: tuple[int, ...] = ()
    """HTTP statuses for the first results posted, in order; a result answered with other than 200 is not kept."""
    ping_status: int = 200


@dataclass(frozen=True)
class Options:
    """Times in seconds, sizes in bytes. The defaults are the platform's, apart from `poll_hold` and `ping_interval`."""

    endpoint_id: str = "local"
    names: tuple[str, ...] = ()
    """What callers may call this server, beside localhost and addresses."""
    poll_hold: float = 2.0
    """How long job-take and job-stop wait for something to tell; a worker stops no sooner than that."""
    ping_interval: float = 2.0
    """Whole seconds, at least 1: the SDK divides it down, and 0 makes its heartbeat a busy loop."""
    worker_timeout: float = 30.0
    """A worker not heard of for so long is gone: its job is queued once more, then failed."""
    linger: float = 0.0
    """How long a server that is closed waits for results that nobody has fetched."""
    run_limit: int = 10 * MB
    runsync_limit: int = 20 * MB
    run_retention: float = 1800.0
    runsync_retention: float = 60.0
    execution_timeout: float = 600.0
    ttl: float = 86400.0
    memory_limit: int = 1000 * MB
    """Bytes of inputs and results above which the oldest results go."""
    remote_url: str = "https://api.runpod.ai/v2"
    """Where the page's calls to a deployed endpoint go."""
    schemas: Mapping[str, Any] = field(default_factory=dict)
    """OpenAPI components that describe the worker's `Input` and `Output`."""
    preview: bool = False
    """The worker has a preview engine behind it, no model: /health tells it, and the page."""
    faults: Faults = field(default_factory=Faults)

    def __post_init__(self) -> None:
        """Refuse settings that would turn a worker's loops into busy ones."""
        if self.ping_interval < 1:
            raise ValueError(f"ping_interval={self.ping_interval} must be at least 1 second")
        if self.poll_hold < 0.05:
            raise ValueError(f"poll_hold={self.poll_hold} must be at least 0.05 seconds")

    def payload_limit(self, sync: bool) -> int:
        """The most bytes that a request or a result may have."""
        return self.runsync_limit if sync else self.run_limit

    def retention(self, sync: bool) -> float:
        """How long a finished job can still be asked for."""
        return self.runsync_retention if sync else self.run_retention
