"""The local endpoint over real HTTP, with this test as caller and as worker."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from local.endpoint import Endpoint, start


class Worker:
    """Speaks for a worker, with the URLs that the platform's environment gives it."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.environ = endpoint.worker_environ()
        self.id = self.environ["RUNPOD_POD_ID"]
        self.take_url = self.environ["RUNPOD_WEBHOOK_GET_JOB"].replace("$ID", self.id) + "&job_in_progress=0"
        self.ping_url = self.environ["RUNPOD_WEBHOOK_PING"].replace("$RUNPOD_POD_ID", self.id)

    def take(self) -> requests.Response:
        return requests.get(self.take_url, timeout=20)

    def take_batch(self, size: int) -> requests.Response:
        url = self.take_url.replace("/job-take/", "/job-take-batch/")
        return requests.get(f"{url}&batch_size={size}", timeout=20)

    def take_stops(self) -> requests.Response:
        return requests.get(self.take_url.replace("/job-take/", "/job-stop/"), timeout=20)

    def post(self, job_id: str, body: object) -> requests.Response:
        url = self.environ["RUNPOD_WEBHOOK_POST_OUTPUT"].replace("$RUNPOD_POD_ID", self.id).replace("$ID", job_id)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
        return requests.post(f"{url}&isStream=false", data=text.encode(), headers=form, timeout=20)

    def ping(self, **params: str) -> requests.Response:
        return requests.get(self.ping_url, params=params, timeout=20)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with start(poll_hold=0.2) as served:
        yield served


@pytest.fixture
def worker(endpoint: Endpoint) -> Iterator[Worker]:
    """A worker, and an empty queue before and after."""
    requests.post(f"{endpoint.url}/purge-queue", timeout=10)
    yield Worker(endpoint)
    requests.post(f"{endpoint.url}/purge-queue", timeout=10)


def submit(endpoint: Endpoint, operation: str = "run", **body: Any) -> str:
    reply = requests.post(f"{endpoint.url}/{operation}", json={"input": {"text": "hello"}, **body}, timeout=20)
    assert reply.status_code == 200, reply.text
    return str(reply.json()["id"])


def report(endpoint: Endpoint, job_id: str) -> dict[str, Any]:
    return dict(requests.get(f"{endpoint.url}/status/{job_id}", timeout=10).json())


def health(endpoint: Endpoint) -> dict[str, Any]:
    return dict(requests.get(f"{endpoint.url}/health", timeout=10).json())


def wait_for(look: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_a_job_goes_from_run_through_the_worker_to_status(endpoint: Endpoint, worker: Worker) -> None:
    job_id = submit(endpoint, webhook="http://localhost:9/none", ignored=1)
    taken = worker.take().json()
    assert taken == {"id": job_id, "input": {"text": "hello"}, "webhook": "http://localhost:9/none"}
    assert report(endpoint, job_id)["status"] == "IN_PROGRESS"
    assert worker.post(job_id, {"output": {"done": "ä"}}).status_code == 200
    for look in (requests.get, requests.post):
        found = look(f"{endpoint.url}/v2/any-endpoint/status/{job_id}", timeout=10).json()
        assert (found["status"], found["output"], found["workerId"]) == ("COMPLETED", {"done": "ä"}, worker.id)
        assert found["executionTime"] >= 0


def test_runsync_answers_as_soon_as_the_result_is_there(endpoint: Endpoint, worker: Worker) -> None:
    replies: list[requests.Response] = []
    url = f"{endpoint.url}/v2/any/runsync?wait=60000"
    caller = threading.Thread(target=lambda: replies.append(requests.post(url, json={"input": {}}, timeout=30)))
    caller.start()
    wait_for(lambda: health(endpoint)["jobs"]["inQueue"] == 1)
    worker.post(worker.take().json()["id"], {"output": [1, 2]})
    caller.join(timeout=20)
    assert replies[0].json()["output"] == [1, 2]
    assert replies[0].json()["id"].startswith("sync-")


@pytest.mark.parametrize(("operation", "limit"), [("run", 10_000_000), ("runsync?wait=1000", 20_000_000)])
def test_a_request_fits_up_to_the_platforms_limit_and_runsync_answers_after_its_wait(
    endpoint: Endpoint, worker: Worker, operation: str, limit: int
) -> None:
    head, tail = b'{"input": "', b'"}'
    fitting = head + b"x" * (limit - len(head) - len(tail)) + tail
    assert requests.post(f"{endpoint.url}/{operation}", data=fitting, timeout=30).json()["status"] == "IN_QUEUE"
    reply = requests.post(f"{endpoint.url}/{operation}", data=fitting + b" ", timeout=30)
    assert reply.status_code == 413
    assert str(limit) in reply.json()["error"]


def test_a_result_over_the_limit_is_answered_400_and_lost(endpoint: Endpoint, worker: Worker) -> None:
    job_id = submit(endpoint)
    worker.take()
    head, tail = '{"output": "', '"}'
    fitting = head + "x" * (10_000_000 - len(head) - len(tail)) + tail
    assert worker.post(job_id, fitting + " ").status_code == 400
    assert report(endpoint, job_id)["status"] == "COMPLETED"
    assert "output" not in report(endpoint, job_id)
    job_id = submit(endpoint)
    worker.take()
    assert worker.post(job_id, fitting).status_code == 200
    assert len(report(endpoint, job_id)["output"]) > 9_999_000


def test_a_lone_surrogate_in_the_input_reaches_the_worker_and_comes_back(endpoint: Endpoint, worker: Worker) -> None:
    job_id = requests.post(f"{endpoint.url}/run", data='{"input": "\\ud800"}', timeout=10).json()["id"]
    assert worker.take().json()["input"] == "\ud800"
    worker.post(job_id, '{"output": "\\ud800"}')
    assert report(endpoint, job_id)["output"] == "\ud800"


def test_a_poll_without_jobs_ends_with_204_and_one_with_wakes_at_once(endpoint: Endpoint, worker: Worker) -> None:
    assert worker.take().status_code == 204
    assert worker.take_batch(3).status_code == 204
    assert worker.take_stops().status_code == 204
    with start(poll_hold=60) as patient:
        held = Worker(patient)
        threading.Timer(0.3, submit, (patient,)).start()
        assert held.take().status_code == 200


def test_progress_is_seen_while_the_job_runs_and_a_late_one_shows_in_health(endpoint: Endpoint, worker: Worker) -> None:
    job_id = submit(endpoint)
    worker.take()
    worker.post(job_id, {"status": "IN_PROGRESS", "output": {"percent": 10}})
    assert report(endpoint, job_id)["output"] == {"percent": 10}
    worker.post(job_id, {"output": "result"})
    late = health(endpoint)["local"]["lateUpdates"]
    worker.post(job_id, {"status": "IN_PROGRESS", "output": {"percent": 90}})
    assert report(endpoint, job_id)["output"] == "result"
    assert health(endpoint)["local"]["lateUpdates"] == late + 1


def test_cancel_reaches_the_worker_on_its_stop_channel(endpoint: Endpoint, worker: Worker) -> None:
    job_id = submit(endpoint)
    worker.take()
    time.sleep(0.3)
    assert requests.post(f"{endpoint.url}/cancel/{job_id}", timeout=10).json() == {"id": job_id, "status": "CANCELLED"}
    assert worker.take_stops().json() == {"jobsToStop": [job_id]}
    assert worker.post(job_id, {"output": "too late"}).status_code == 200
    assert report(endpoint, job_id)["status"] == "CANCELLED"


def test_the_callers_key_and_input_are_never_logged(
    endpoint: Endpoint, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    headers = {"Authorization": "Bearer secret-key"}
    body = {"input": {"prompt": "secret prompt"}, "s3Config": {"accessSecret": "secret"}}
    job_id = requests.post(f"{endpoint.url}/run", json=body, headers=headers, timeout=10).json()["id"]
    worker.post(worker.take().json()["id"], {"output": "secret output"})
    assert job_id in caplog.text
    assert "secret" not in caplog.text


def test_a_job_of_a_worker_that_hung_up_is_given_to_the_next_in_spite_of_pings() -> None:
    with start(poll_hold=5, worker_timeout=0.8) as endpoint:
        dead, alive = Worker(endpoint), Worker(endpoint)
        job_id = submit(endpoint)
        dead.take()
        with pytest.raises(requests.ReadTimeout):
            requests.get(dead.take_url.replace("/job-take/", "/job-stop/"), timeout=0.1)
        taken = threading.Event()
        pings = threading.Thread(target=lambda: ping_until(dead, taken))
        pings.start()
        assert alive.take().json()["id"] == job_id
        taken.set()
        pings.join()


def ping_until(worker: Worker, end: threading.Event) -> None:
    while not end.wait(0.1):
        worker.ping()
