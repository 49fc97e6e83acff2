"""The local endpoint's jobs and workers as state machines, on a clock that the test moves."""

from collections.abc import Callable
from typing import Any

import pytest

from local.endpoint.job import Job, NotRetryable, Status
from local.endpoint.jobs import STOP_GRACE, JobStore
from local.endpoint.options import Faults, Options


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


def test_jobs_are_taken_in_the_order_they_came(store: JobStore) -> None:
    first, second, third = submit(store), submit(store), submit(store)
    assert store.take("w1") == [first]
    assert store.take("w1", count=5) == [second, third]
    assert store.take("w1") == []


def test_job_ids_tell_runsync_from_run(store: JobStore) -> None:
    assert submit(store, sync=True).id.startswith("sync-")
    assert not submit(store).id.startswith("sync-")
    assert submit(store).id.endswith("-u1")


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


def test_an_error_fails_the_job_and_keeps_the_output_beside_it(store: JobStore) -> None:
    job = start_job(store)
    store.finish(job.id, {"error": "bad", "output": {"code": 1}}, 20)
    assert (job.status, job.report()["error"], job.report()["output"]) == (Status.FAILED, "bad", {"code": 1})


def test_progress_is_the_output_until_the_result_comes(store: JobStore) -> None:
    job = start_job(store)
    store.update(job.id, {"percent": 50}, 20)
    assert (job.report()["status"], job.report()["output"]) == ("IN_PROGRESS", {"percent": 50})
    store.finish(job.id, {"output": "result"}, 20)
    assert job.report()["output"] == "result"


def test_a_progress_update_after_the_result_is_counted_and_dropped(store: JobStore) -> None:
    job = start_job(store)
    store.finish(job.id, {"output": "result"}, 20)
    store.update(job.id, {"percent": 99}, 20)
    assert (job.status, job.report()["output"], store.late_updates) == (Status.COMPLETED, "result", 1)


def test_late_progress_takes_the_results_place_when_asked_to_be_like_the_platform(
    make_store: Callable[..., JobStore],
) -> None:
    store = make_store(faults=Faults(late_progress_overwrites=True))
    job = start_job(store)
    store.finish(job.id, {"output": "result"}, 20)
    store.update(job.id, {"percent": 99}, 20)
    assert (job.status, job.report()["output"]) == (Status.IN_PROGRESS, {"percent": 99})


def test_the_first_result_counts(store: JobStore) -> None:
    job = start_job(store)
    store.finish(job.id, {"output": 1}, 20)
    store.finish(job.id, {"error": "late"}, 20)
    assert (job.status, job.answer, store.completed, store.failed) == (Status.COMPLETED, {"output": 1}, 1, 0)


def test_an_oversized_result_completes_the_job_with_no_output(store: JobStore) -> None:
    job = start_job(store)
    store.update(job.id, {"percent": 50}, 20)
    store.lose_result(job.id)
    assert job.status is Status.COMPLETED
    assert "output" not in job.report()


def test_cancelling_a_waiting_job_takes_it_from_the_queue_and_signals_nobody(store: JobStore, clock: Clock) -> None:
    job = submit(store)
    assert store.cancel(job.id).status is Status.CANCELLED
    clock.pass_by(STOP_GRACE)
    assert store.take("w1") == []
    assert store.take_stops("w1") == []


def test_cancelling_a_running_job_signals_its_worker_once_and_only_that_one(store: JobStore, clock: Clock) -> None:
    job = start_job(store)
    clock.pass_by(1)
    store.cancel(job.id)
    assert store.take_stops("w2") == []
    assert store.take_stops("w1") == [job.id]
    assert store.take_stops("w1") == []


def test_a_stop_signal_waits_until_the_sdk_has_started_the_jobs_task(store: JobStore, clock: Clock) -> None:
    job = start_job(store)
    store.cancel(job.id)
    assert store.take_stops("w1") == []
    clock.pass_by(STOP_GRACE)
    assert store.take_stops("w1") == [job.id]


def test_the_result_of_a_cancelled_job_is_ignored(store: JobStore) -> None:
    job = start_job(store)
    store.cancel(job.id)
    store.finish(job.id, {"output": 1}, 20)
    assert (job.status, job.answer) == (Status.CANCELLED, {})


def test_cancelling_a_finished_job_changes_nothing(store: JobStore) -> None:
    job = start_job(store)
    store.finish(job.id, {"output": 1}, 20)
    assert store.cancel(job.id).status is Status.COMPLETED


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


def test_a_jobs_own_policy_comes_before_the_endpoints(store: JobStore) -> None:
    job = submit(store, policy={"executionTimeout": 6000, "ttl": 20_000})
    assert (job.execution_timeout, job.ttl) == (6.0, 20.0)
    assert (submit(store).execution_timeout, submit(store).ttl) == (600.0, 86400.0)


def test_a_job_that_waits_longer_than_its_ttl_times_out_in_the_queue(store: JobStore, clock: Clock) -> None:
    job = submit(store, policy={"ttl": 10_000})
    clock.pass_by(10.1)
    store.sweep()
    assert job.status is Status.TIMED_OUT
    assert store.take("w1") == []


def test_a_lost_workers_job_is_queued_once_more_in_front_and_then_failed(store: JobStore) -> None:
    job = start_job(store)
    behind = submit(store)
    store.sweep(gone={"w1"})
    assert job.report() == {"id": job.id, "status": "IN_QUEUE"}
    assert store.take("w2") == [job]
    store.sweep(gone={"w2"})
    assert job.status is Status.FAILED
    assert "w2" in job.report()["error"]
    assert behind.status is Status.IN_QUEUE


def test_progress_of_the_lost_worker_does_not_start_the_queued_job(store: JobStore) -> None:
    job = start_job(store)
    store.sweep(gone={"w1"})
    store.update(job.id, {"percent": 50}, 20)
    assert job.report() == {"id": job.id, "status": "IN_QUEUE"}


def test_a_result_of_the_lost_worker_ends_the_queued_job(store: JobStore) -> None:
    job = start_job(store)
    store.sweep(gone={"w1"})
    store.finish(job.id, {"output": 1}, 20)
    assert job.status is Status.COMPLETED
    assert store.take("w2") == []


def test_a_failed_job_can_be_retried_with_its_old_input_and_no_old_result(store: JobStore) -> None:
    job = start_job(store)
    store.finish(job.id, {"error": "bad"}, 20)
    store.retry(job.id)
    assert job.report() == {"id": job.id, "status": "IN_QUEUE"}
    assert store.take("w1")[0].request["input"] == {"text": "hello"}
    assert store.retried == 1


@pytest.mark.parametrize("end", ["waits", "runs", "completed", "cancelled"])
def test_only_failed_and_timed_out_jobs_can_be_retried(store: JobStore, end: str) -> None:
    job = submit(store)
    if end != "waits":
        store.take("w1")
    if end == "completed":
        store.finish(job.id, {"output": 1}, 20)
    if end == "cancelled":
        store.cancel(job.id)
    with pytest.raises(NotRetryable, match=job.status.value):
        store.retry(job.id)


def test_purge_cancels_what_waits_and_leaves_what_runs(store: JobStore) -> None:
    running = start_job(store)
    waiting = [submit(store), submit(store)]
    assert store.purge() == 2
    assert running.status is Status.IN_PROGRESS
    assert {job.status for job in waiting} == {Status.CANCELLED}
    assert store.take("w1") == []
