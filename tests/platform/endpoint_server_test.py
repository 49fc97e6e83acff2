"""The local endpoint as a server: wrong calls, its port, its end, its page."""

import multiprocessing
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from local.endpoint import Endpoint, PortTaken, start


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with start() as served:
        yield served


def port_of(endpoint: Endpoint) -> int:
    return int(endpoint.url.rpartition(":")[2])


def health(endpoint: Endpoint) -> dict[str, Any]:
    return dict(requests.get(f"{endpoint.url}/health", timeout=10).json())


@pytest.mark.parametrize(
    ("call", "body", "status", "told"),
    [
        ("POST /run", "{", 400, "not valid JSON"),
        ("POST /run", "[" * 100_000, 400, "not valid JSON"),
        ("POST /run", '{"input": NaN}', 400, "NaN"),
        ("POST /run", "[]", 400, "JSON object"),
        ("POST /run", "{}", 400, '"input"'),
        ("POST /v2/any/runsync", '{"prompt": 1}', 400, '"input"'),
        ("POST /run", '{"input": {}, "policy": {"ttl": 5}}', 400, "policy.ttl"),
        ("POST /run", '{"input": {}, "policy": {"executionTimeout": "soon"}}', 400, "policy.executionTimeout"),
        ("POST /runsync?wait=5", '{"input": {}}', 400, "wait"),
        ("GET /status/nothing", "", 404, "no job nothing"),
        ("POST /cancel/nothing", "", 404, "no job nothing"),
        ("GET /stream/nothing", "", 404, "no job nothing"),
        ("POST /job-done/w1/nothing", "{}", 404, "no job nothing"),
        ("GET /nowhere", "", 404, "no route GET /nowhere"),
        ("GET /run", "", 405, "no route GET /run"),
    ],
)
def test_a_wrong_call_is_answered_with_a_json_error_that_names_the_fault(
    endpoint: Endpoint, call: str, body: str, status: int, told: str
) -> None:
    method, path = call.split()
    reply = requests.request(method, f"{endpoint.url}{path}", data=body, timeout=10)
    assert reply.status_code == status
    assert told in reply.json()["error"]


def test_close_answers_those_who_wait_and_frees_the_port() -> None:
    endpoint = start(poll_hold=60)
    statuses: list[int] = []
    poll = threading.Thread(
        target=lambda: statuses.append(requests.get(f"{endpoint.url}/job-take/w1", timeout=30).status_code)
    )
    poll.start()
    while health(endpoint)["workers"]["idle"] == 0:
        time.sleep(0.02)
    endpoint.close()
    poll.join(timeout=5)
    assert statuses == [204]
    with start(port=port_of(endpoint)):
        pass


def test_a_taken_port_is_one_clear_error() -> None:
    with start() as endpoint, pytest.raises(PortTaken, match=rf"port {port_of(endpoint)} on localhost is taken"):
        start(port=port_of(endpoint))


def test_a_forked_child_does_not_keep_the_port() -> None:
    endpoint = start()
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    child.start()
    try:
        endpoint.close()
        with start(port=port_of(endpoint)) as successor:
            assert health(successor)["local"]["standIn"]
    finally:
        child.kill()
        child.join()


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_is_served_and_may_load_nothing_from_elsewhere(endpoint: Endpoint, path: str) -> None:
    page = requests.get(endpoint.url + path, timeout=10)
    assert "text/html" in page.headers["Content-Type"]
    assert "connect-src 'self'" in page.headers["Content-Security-Policy"]
    loaded = re.findall(r'(?:src|href)="([^"#]+)"', page.text)
    assert loaded
    assert [requests.get(endpoint.url + target, timeout=10).status_code for target in loaded] == [200] * len(loaded)


def test_every_reference_of_the_openapi_description_resolves(endpoint: Endpoint) -> None:
    description = requests.get(f"{endpoint.url}/openapi.json", timeout=10)
    names = set(re.findall(r'"#/components/schemas/(\w+)"', description.text))
    assert "JobRequest" in names
    assert names <= set(description.json()["components"]["schemas"])
