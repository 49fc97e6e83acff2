"""What an endpoint's settings cost and how long its callers wait, simulated: `python -m bench.scale --help`.

Clips arrive at random, alone or in bursts; workers boot, take clips first come first served, idle and stop. Both of
RunPod's scalers are as its documentation has them (https://docs.runpod.io/serverless/endpoints/endpoint-configurations):
`count` wants ceil((waiting + running) / value) workers, `delay` adds one for each clip that has waited `value` seconds,
and the first at once where there is none. Options with several comma-separated values make a row for each combination.
"""

import argparse
import functools
import heapq
import itertools
import math
import random
import statistics
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class Endpoint:
    """An endpoint's settings. Times in seconds."""

    min: int = field(default=0, metadata={"help": "active workers: on all the time"})
    max: int = field(default=3, metadata={"help": "the most workers at once"})
    idle: float = field(default=5.0, metadata={"help": "idle timeout: how long a worker without a clip stays on"})
    scaler: str = field(default="count", metadata={"help": "count or delay"})
    value: float = field(default=1.0, metadata={"help": "of the scaler: clips per worker, or seconds in the queue"})
    jobs: int = field(default=1, metadata={"help": "clips that a worker takes at once (WORKER_CONCURRENCY)"})
    boot: float = field(default=120.0, metadata={"help": "a start on a host that does not have the models"})
    reboot: float = field(default=20.0, metadata={"help": "a start on a host that does"})
    kept: float = field(default=600.0, metadata={"help": "how long a host keeps them after a worker stops"})
    gap: float = field(default=1.0, metadata={"help": "between two clips of a worker that takes one at a time"})


@dataclass(frozen=True)
class Load:
    """What is asked of an endpoint."""

    rate: float = field(default=60.0, metadata={"help": "clips per hour"})
    burst: float = field(default=1.0, metadata={"help": "mean clips that come together; their number is geometric"})
    clip: float = field(default=60.0, metadata={"help": "seconds of GPU per clip"})
    spread: float = field(default=0.0, metadata={"help": "their standard deviation / mean: 0 all equal, 1 exponential"})

    def clips(self, count: int, seed: int) -> list["Clip"]:
        """So many clips; a seed always gives the same ones."""
        chance, at, made = random.Random(seed), 0.0, list[Clip]()  # noqa: S311 (no secret)
        while len(made) < count:
            at += chance.expovariate(self.rate / self.burst / 3600)
            size = 1
            while chance.random() > 1 / self.burst:
                size += 1
            made += [Clip(at, self._seconds(chance)) for _ in range(size)]
        return made[:count]

    def _seconds(self, chance: random.Random) -> float:
        shape = self.spread**-2 if self.spread else math.inf
        return chance.gammavariate(shape, self.clip / shape) if self.spread else self.clip


@dataclass(frozen=True)
class Clip:
    """One clip asked for: when, and how long the GPU needs for it."""

    arrival: float
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """What became of a load."""

    waits: Sequence[float]
    """seconds from a clip's arrival until a GPU begins with it, in the order in which they began"""
    cold: int
    """starts on a host without the models"""
    warm: int
    """starts on a host with them"""
    billed: float
    """seconds that workers were on: booting, busy or idle"""


@dataclass(eq=False)
class Worker:
    """A place for a worker; off at first."""

    on: bool = False
    ready: bool = False
    """It is on and has booted."""
    since: float = -math.inf
    """when it was turned on or off"""
    finished: float = -math.inf
    idle_since: float = 0.0
    held: deque[Clip] = field(default_factory=deque)
    """clips that it has taken; the GPU is busy with the first"""


class Simulation:
    """One endpoint under one load, from the first clip's arrival to the last one's end."""

    def __init__(self, endpoint: Endpoint, clips: Sequence[Clip]) -> None:
        self._endpoint, self._now = endpoint, 0.0
        self._workers = [Worker() for _ in range(endpoint.max)]
        self._queue: deque[Clip] = deque()
        self._order = itertools.count()
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._waits: list[float] = []
        self._left = len(clips)
        self._cold = self._warm = 0
        self._billed = 0.0
        for worker in self._workers[: endpoint.min]:
            worker.on, worker.ready, worker.since = True, True, 0.0
        for clip in clips:
            self._at(clip.arrival, self._arrive, clip)

    def run(self) -> Outcome:
        """What comes of it; workers that are still on when the last clip ends are billed until then."""
        while self._left:
            self._now, _, act, arguments = heapq.heappop(self._events)
            act(*arguments)
        self._billed += sum(self._now - worker.since for worker in self._workers if worker.on)
        return Outcome(self._waits, self._cold, self._warm, self._billed)

    def _at(self, when: float, act: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._events, (when, next(self._order), act, arguments))

    def _on(self) -> int:
        return sum(worker.on for worker in self._workers)

    def _arrive(self, clip: Clip) -> None:
        self._queue.append(clip)
        self._hand_out()
        if self._endpoint.scaler == "count":
            self._count()
        elif self._on():
            self._at(self._now + self._endpoint.value, self._add_for, clip)
        else:
            self._start(1)

    def _add_for(self, clip: Clip) -> None:
        """A worker more for a clip that waits still."""
        if any(waiting is clip for waiting in self._queue):
            self._start(self._on() + 1)

    def _count(self) -> None:
        jobs = len(self._queue) + sum(len(worker.held) for worker in self._workers)
        self._start(math.ceil(jobs / self._endpoint.value))

    def _start(self, wanted: int) -> None:
        """Have so many workers on, as far as there may be; hosts that were left last come first."""
        off = sorted((worker for worker in self._workers if not worker.on), key=lambda worker: -worker.since)
        for worker in off[: max(0, wanted - self._on())]:
            kept = self._now - worker.since <= self._endpoint.kept
            self._warm, self._cold = self._warm + kept, self._cold + (not kept)
            worker.on, worker.since = True, self._now
            self._at(self._now + (self._endpoint.reboot if kept else self._endpoint.boot), self._become_ready, worker)

    def _become_ready(self, worker: Worker) -> None:
        worker.ready, worker.idle_since = True, self._now
        self._at(self._now + self._endpoint.idle, self._stop_if_idle, worker, self._now)
        self._hand_out()

    def _hand_out(self) -> None:
        """Give what waits to workers with room: first the idle ones, the longest idle one first."""
        ready = [worker for worker in self._workers if worker.ready and len(worker.held) < self._endpoint.jobs]
        for worker in sorted(ready, key=lambda worker: (bool(worker.held), worker.idle_since)):
            while self._queue and len(worker.held) < self._endpoint.jobs:
                worker.held.append(self._queue.popleft())
                if len(worker.held) == 1:
                    paused = worker.finished + self._endpoint.gap if self._endpoint.jobs == 1 else 0
                    self._begin(worker, max(self._now, paused))

    def _begin(self, worker: Worker, when: float) -> None:
        clip = worker.held[0]
        self._waits.append(when - clip.arrival)
        self._at(when + clip.seconds, self._finish, worker)

    def _finish(self, worker: Worker) -> None:
        worker.held.popleft()
        self._left -= 1
        worker.finished = worker.idle_since = self._now
        if worker.held:
            self._begin(worker, self._now)
        else:
            self._at(self._now + self._endpoint.idle, self._stop_if_idle, worker, self._now)
        self._hand_out()

    def _stop_if_idle(self, worker: Worker, since: float) -> None:
        """Unless it had a clip meanwhile, or is one of the active ones."""
        if worker.on and not worker.held and worker.idle_since == since and self._on() > self._endpoint.min:
            self._billed += self._now - worker.since
            worker.on, worker.ready, worker.since = False, False, self._now


def simulate(endpoint: Endpoint, clips: Sequence[Clip]) -> Outcome:
    """What becomes of these clips on that endpoint."""
    return Simulation(endpoint, clips).run()


def row(endpoint: Endpoint, load: Load, count: int) -> dict[str, str]:
    """The figures of one combination."""
    outcome = simulate(endpoint, load.clips(count, seed=0))
    percentiles = statistics.quantiles(outcome.waits, n=20, method="inclusive")
    return {
        "wait p50 s": f"{percentiles[9]:.0f}",
        "wait p95 s": f"{percentiles[18]:.0f}",
        "cold starts per 100": f"{100 * outcome.cold / count:.1f}",
        "warm starts per 100": f"{100 * outcome.warm / count:.1f}",
        "GPU hours per clip": f"{outcome.billed / count / 3600:.4f}",
        "busy": f"{load.clip * count / outcome.billed:.0%}",
    }


def table(given: Sequence[tuple[Endpoint, Load]], count: int) -> Iterator[str]:
    """The rows of a Markdown table, with the columns in which the combinations differ before the figures."""
    cells = [
        {name: f"{value:g}" if isinstance(value, (int, float)) else str(value) for name, value in both.items()}
        for both in ({**vars(load), **vars(endpoint)} for endpoint, load in given)
    ]
    shown = [name for name in cells[0] if len({row[name] for row in cells}) > 1]
    rows = [{name: cell[name] for name in shown} | row(*both, count) for cell, both in zip(cells, given, strict=True)]
    yield "| " + " | ".join(rows[0]) + " |"
    yield "| " + " | ".join("---" for _ in rows[0]) + " |"
    yield from ("| " + " | ".join(each.values()) + " |" for each in rows)


def _read_list(kind: type, text: str) -> list[Any]:
    try:
        values = [kind(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text}: must be comma-separated numbers") from None
    if kind is str and not set(values) <= {"count", "delay"}:
        raise argparse.ArgumentTypeError(f"{text}: must be count, delay, or both with a comma between")
    return values


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n", maxsplit=1)[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    known = [*fields(Load), *fields(Endpoint)]
    for one in known:
        read = functools.partial(_read_list, type(one.default))
        parser.add_argument(f"--{one.name}", type=read, default=[one.default], help=one.metadata["help"])
    parser.add_argument("--clips", type=int, default=5000, help="how many are simulated for each row")
    options = parser.parse_args()
    given = []
    for values in itertools.product(*(getattr(options, one.name) for one in known)):
        load, endpoint = values[: len(fields(Load))], values[len(fields(Load)) :]
        given.append((Endpoint(*endpoint), Load(*load)))
    fixed = [f"{one.name} {getattr(options, one.name)[0]}" for one in known if len(getattr(options, one.name)) == 1]
    print(f"{options.clips} clips a row; {', '.join(fixed)}\n")
    for line in table(given, options.clips):
        print(line)


if __name__ == "__main__":
    main()
