"""No website that is open on this machine drives the endpoint: on any route, by any way that a browser has."""

import json
import re
import tracemalloc
from collections.abc import Iterator

import pytest
import requests

from local.endpoint import Endpoint, start
from local.endpoint.messages import MOST_MEMORY, weigh


@pytest.fixture(scope="module")
def endpoint() -> Iterator[Endpoint]:
    with start(poll_hold=0.05) as running:
        yield running


def routes() -> list[tuple[str, str]]:
    """Every route of the endpoint, as it tells them itself, and those that it does not tell."""
    with start(poll_hold=0.05) as running:
        paths = requests.get(f"{running.url}/openapi.json", timeout=10).json()["paths"]
    told = [(method.upper(), re.sub(r"\{\w+\}", "x", path)) for path, methods in paths.items() for method in methods]
    pages = [("GET", path) for path in ("/", "/docs", "/page/page.js", "/examples/rocket.jpg", "/openapi.json")]
    return [*told, *((method, f"/v2/any{path}") for method, path in told), *pages, ("GET", "/remote/x/health")]


ROUTES = routes()


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8000", "Origin": "http://evil.example:8000"},
        {"Host": "localhost.evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": ""},
        {"Host": "["},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    ],
    ids=str,
)
def test_another_site_is_refused_on_every_route(
    endpoint: Endpoint, method: str, path: str, headers: dict[str, str]
) -> None:
    sent = {"Content-Type": "text/plain", **headers}
    answer = requests.request(method, endpoint.url + path, data='{"input": {}}', headers=sent, timeout=10)
    assert answer.status_code in ({403} if headers.get("Host") != "" else {400, 403})


def test_nothing_of_it_was_done(endpoint: Endpoint) -> None:
    assert set(requests.get(f"{endpoint.url}/health", timeout=10).json()["jobs"].values()) == {0}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "LOCALHOST", "[::1]", "192.168.1.5", "localhost."])
def test_an_address_and_localhost_are_its_own_names(endpoint: Endpoint, host: str) -> None:
    port = endpoint.url.rpartition(":")[2]
    headers = {"Host": f"{host}:{port}", "Origin": f"http://{host}:{port}", "Sec-Fetch-Site": "same-origin"}
    assert requests.get(f"{endpoint.url}/health", headers=headers, timeout=10).ok


@pytest.mark.parametrize(("path", "status"), [("/", 200), ("/docs", 200), ("/health", 403), ("/job-take/x", 403)])
def test_a_link_on_another_site_leads_to_the_page_and_nowhere_else(endpoint: Endpoint, path: str, status: int) -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert requests.get(endpoint.url + path, headers=link, timeout=10).status_code == status


@pytest.mark.parametrize("values", ["[],", "{},", "1,", '"",'])
def test_a_body_is_counted_by_the_memory_that_it_takes(endpoint: Endpoint, values: str) -> None:
    body = ('{"input": [' + (values * (9_800_000 // len(values))).rstrip(",") + "]}").encode()
    assert requests.post(f"{endpoint.url}/run", data=body, timeout=60).status_code == 413


DEAR = [
    *("[],", "{},", "1,", "1000,", "1.5,", '"",', '"ab",', '"猫",', '"\\u732b",', '"😀' + "x" * 60 + '",'),
    *('{"a": 1},', '{"a":[]},', "[[[1]]],", '{"a":{"a":{"a":1}}},', '"k%d":1,', '"key%d":"%d",'),
]


@pytest.mark.parametrize("values", DEAR)
def test_the_count_is_no_less_than_what_python_keeps_of_it(values: str) -> None:
    entries = "".join(values.replace("%d", str(number)) for number in range(50_000)).rstrip(",")
    body = (f"{{{entries}}}" if "%d" in values else f"[{entries}]").encode()
    tracemalloc.start()
    kept = json.loads(body)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept
    assert taken <= weigh(body)


@pytest.mark.parametrize("number", ["1e400", "-1e999", "NaN", "-Infinity"])
def test_a_number_that_json_does_not_have_reaches_no_worker(endpoint: Endpoint, number: str) -> None:
    answer = requests.post(f"{endpoint.url}/run", data=f'{{"input": {{"fps": {number}}}}}', timeout=10)
    assert answer.status_code == 400


@pytest.mark.parametrize("depth", range(100, 1100, 50))
def test_whatever_is_taken_from_a_caller_can_be_handed_to_a_worker(endpoint: Endpoint, depth: int) -> None:
    """Both ends stop at some depth; a job between them would stay in the queue's way."""
    answer = requests.post(f"{endpoint.url}/run", data='{"input":' + "[" * depth + "]" * depth + "}", timeout=10)
    assert answer.status_code in {200, 400}
    assert requests.get(f"{endpoint.url}/job-take/x", timeout=10).status_code in {200, 204}


@pytest.mark.parametrize("first", ["A", "猫", "😀"])
def test_the_longest_body_of_the_platform_fits(first: str) -> None:
    body = f'{{"input": {{"prompt": "{first}", "image": "{"A" * 19_900_000}"}}}}'.encode()
    assert weigh(body) < MOST_MEMORY
