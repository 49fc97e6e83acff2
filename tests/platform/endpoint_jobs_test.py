"""The local endpoint's jobs and workers as state machines, on a clock that the test moves."""

from collections.abc import Callable
from typing import Any

import pytest

from local.endpoint.jobs import STOP_GRACE, Job, JobStore, Status, UnknownJob
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


def test_a_finished_job_reports_its_delay_and_execution_in_milliseconds(store: JobStore, clock: Clock) -> None:
    job = submit(store)
    assert job.report() == {"id": job.id, "status": "IN_QUEUE"}
    clock.pass_by(1.5)
    store.take("w1")
    clock.pass_by(2)
    store.finish(job.id, {"output": {"done": True}}, 20)
    assert job.report() == {
        "id": job.id,
        "status": "COMPLETED",
        "delayTime": 1500,
        "executionTime": 2000,
        "workerId": "w1",
        "output": {"done": True},
    }


def test_a_progress_update_after_the_result_is_counted_and_dropped(store: JobStore) -> None:
    job = start_job(store)
    store.finish(job.id, {"output": "result"}, 20)
    store.update(job.id, {"percent": 99}, 20)
    assert (job.status, job.report()["output"], store.late_updates) == (Status.COMPLETED, "result", 1)


def test_the_first_result_counts(store: JobStore) -> None:
    job = start_job(store)
    store.finish(job.id, {"output": 1}, 20)
    store.finish(job.id, {"error": "late"}, 20)
    assert (job.status, job.answer, store.completed, store.failed) == (Status.COMPLETED, {"output": 1}, 1, 0)


def test_cancelling_a_waiting_job_takes_it_from_the_queue_and_signals_nobody(store: JobStore, clock: Clock) -> None:
    job = submit(store)
    assert store.cancel(job.id).status is Status.CANCELLED
    clock.pass_by(STOP_GRACE)
    assert store.take("w1") == []
    assert store.take_stops("w1") == []


def test_a_running_jobs_worker_alone_is_told_to_stop_once_the_sdk_has_started_its_task(
    store: JobStore, clock: Clock
) -> None:
    job = start_job(store)
    store.cancel(job.id)
    assert store.take_stops("w1") == []
    clock.pass_by(STOP_GRACE)
    assert store.take_stops("w2") == []
    assert store.take_stops("w1") == [job.id]
    assert store.take_stops("w1") == []


def test_a_job_that_has_ended_keeps_its_state(store: JobStore) -> None:
    cancelled, completed = start_job(store), start_job(store)
    store.cancel(cancelled.id)
    store.finish(cancelled.id, {"output": 1}, 20)
    assert (cancelled.status, cancelled.answer) == (Status.CANCELLED, {})
    store.finish(completed.id, {"output": 1}, 20)
    assert store.cancel(completed.id).status is Status.COMPLETED


def test_a_job_over_its_execution_timeout_times_out_and_its_worker_is_told(
    make_store: Callable[..., JobStore], clock: Clock
) -> None:
    store = make_store(execution_timeout=5)
    job = start_job(store)
    clock.pass_by(4.9)
    store.sweep()
    assert not job.final
    clock.pass_by(0.2)
    store.sweep()
    assert job.status is Status.TIMED_OUT
    assert "executionTimeout" in job.report()["error"]
    assert store.take_stops("w1") == [job.id]


def test_a_jobs_own_policy_comes_before_the_endpoints(store: JobStore, clock: Clock) -> None:
    job = submit(store, policy={"executionTimeout": 6000, "ttl": 20_000})
    assert (job.execution_timeout, job.ttl) == (6.0, 20.0)
    clock.pass_by(20.1)
    store.sweep()
    assert job.status is Status.TIMED_OUT
    assert store.take("w1") == []


def test_a_lost_workers_job_is_queued_once_more_in_front_and_then_failed(store: JobStore) -> None:
    job = start_job(store)
    behind = submit(store)
    store.sweep(gone={"w1"})
    store.update(job.id, {"percent": 50}, 20)  # of the lost worker, late
    assert job.report() == {"id": job.id, "status": "IN_QUEUE"}
    assert store.take("w2") == [job]
    store.sweep(gone={"w2"})
    assert job.status is Status.FAILED
    assert "w2" in job.report()["error"]
    assert behind.status is Status.IN_QUEUE


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


def test_a_worker_is_gone_that_is_silent_or_hung_up_and_one_that_pings_is_not(clock: Clock) -> None:
    workers = Workers(timeout=30, clock=clock)
    for name in ("silent", "pinging", "killed", "reconnected"):
        workers.poll(name)
    for name in ("killed", "reconnected"):
        workers.hang_up(name)
    workers.poll("reconnected")
    clock.pass_by(20)
    for name in ("pinging", "killed", "reconnected"):
        workers.ping(name)
    clock.pass_by(20)
    assert workers.sweep() == {"silent", "killed"}
    assert workers.sweep() == set()


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
