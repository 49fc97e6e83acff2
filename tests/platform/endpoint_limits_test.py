"""What the local endpoint keeps and for how long, and how it counts its workers; on a clock that the test moves."""

from collections.abc import Callable
from typing import Any

import pytest

from local.endpoint.job import Job, QueueFull, UnknownJob
from local.endpoint.jobs import JobStore
from local.endpoint.options import Options
from local.endpoint.workers import UNHEALTHY_KEPT, Workers


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make_store(clock: Clock) -> Callable[..., JobStore]:
    return lambda **options: JobStore(Options(**options), clock)


@pytest.fixture
def store(make_store: Callable[..., JobStore]) -> JobStore:
    return make_store()


def submit(store: JobStore, sync: bool = False, **request: Any) -> Job:
    return store.submit({"input": {"text": "hello"}, **request}, size=100, sync=sync)


def start_job(store: JobStore, worker: str = "w1") -> Job:
    job = submit(store)
    assert store.take(worker) == [job]
    return job


@pytest.mark.parametrize(("sync", "kept"), [(False, 1800), (True, 60)])
def test_a_result_can_be_asked_for_as_long_as_the_platform_keeps_it(
    store: JobStore, clock: Clock, sync: bool, kept: float
) -> None:
    job = submit(store, sync)
    store.take("w1")
    store.finish(job.id, {"output": 1}, 20)
    clock.pass_by(kept - 1)
    store.sweep()
    assert store.get(job.id) is job
    clock.pass_by(2)
    store.sweep()
    with pytest.raises(UnknownJob):
        store.get(job.id)


def test_the_oldest_results_go_when_memory_is_short_and_waiting_jobs_stay(make_store: Callable[..., JobStore]) -> None:
    store = make_store(memory_limit=1000)
    old, new = start_job(store), start_job(store)
    for job in (old, new):
        store.finish(job.id, {"output": "x"}, 450)
    waiting = submit(store)
    submit(store)
    assert set(store.jobs) >= {new.id, waiting.id}
    assert old.id not in store.jobs


def test_jobs_are_refused_when_those_that_wait_hold_all_memory(make_store: Callable[..., JobStore]) -> None:
    store = make_store(memory_limit=250)
    submit(store)
    submit(store)
    with pytest.raises(QueueFull):
        submit(store)


def test_jobs_are_refused_when_too_many_wait(make_store: Callable[..., JobStore]) -> None:
    store = make_store(queue_limit=1)
    submit(store)
    with pytest.raises(QueueFull):
        submit(store)


def test_streamed_pieces_are_given_once_and_in_order(store: JobStore) -> None:
    job = start_job(store)
    assert store.add_chunk(job.id, {"output": 1}, 10)
    assert store.add_chunk(job.id, {"output": 2}, 10)
    assert store.drain_chunks(job.id) == [{"output": 1}, {"output": 2}]
    assert store.drain_chunks(job.id) == []


def test_streamed_pieces_that_nobody_fetches_are_bounded(make_store: Callable[..., JobStore]) -> None:
    store = make_store(run_limit=15)
    job = start_job(store)
    assert store.add_chunk(job.id, {"output": 1}, 10)
    assert not store.add_chunk(job.id, {"output": 2}, 10)
    store.drain_chunks(job.id)
    assert store.add_chunk(job.id, {"output": 3}, 10)


def test_a_worker_that_is_silent_too_long_is_gone_and_one_that_pings_is_not(clock: Clock) -> None:
    workers = Workers(timeout=30, clock=clock)
    workers.poll("silent")
    workers.poll("pinging")
    clock.pass_by(20)
    workers.ping("pinging")
    clock.pass_by(20)
    assert workers.sweep() == {"silent"}
    assert workers.sweep() == set()


def test_pings_of_a_worker_that_hung_up_count_for_nothing_until_it_asks_again(clock: Clock) -> None:
    workers = Workers(timeout=30, clock=clock)
    for name in ("killed", "reconnected"):
        workers.poll(name)
        workers.hang_up(name)
    workers.poll("reconnected")
    clock.pass_by(20)
    workers.ping("killed")
    workers.ping("reconnected")
    clock.pass_by(20)
    assert workers.sweep() == {"killed"}


def test_workers_are_counted_by_what_they_do(clock: Clock) -> None:
    workers = Workers(timeout=30, clock=clock)
    workers.ping("starting")
    workers.poll("waiting", ready=True)
    workers.poll("working", ready=True)
    workers.report_unhealthy("unfit", "gpu", "no device")
    assert workers.count(busy={"working", "gone"}) == {
        "idle": 1,
        "running": 1,
        "initializing": 1,
        "ready": 2,
        "throttled": 0,
        "unhealthy": 1,
    }


def test_an_unfit_workers_report_outlives_its_process(clock: Clock) -> None:
    workers = Workers(timeout=30, clock=clock)
    workers.report_unhealthy("unfit", "gpu", "no device")
    clock.pass_by(60)
    assert workers.sweep() == set()
    assert workers.unhealthy() == [{"workerId": "unfit", "check": "gpu", "reason": "no device"}]
    clock.pass_by(UNHEALTHY_KEPT)
    assert workers.sweep() == {"unfit"}


@pytest.mark.parametrize("options", [{"ping_interval": 0.5}, {"poll_hold": 0}])
def test_settings_that_make_a_worker_spin_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Options(**options)
