"""The page's way to a deployed endpoint: what is passed on to RunPod, played by a small server, and who may use it."""

import http.server
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from local.endpoint import Endpoint, start

KEY = "rpa_a-key-that-is-secret"
PROMPT = "a prompt that belongs to its caller"


class Played(http.server.BaseHTTPRequestHandler):
    """RunPod's API as far as a call sees it: notes what came, and answers with it."""

    came: list[tuple[str, str, str, str]] = []  # noqa: RUF012 - the server makes an instance for each request

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        self.came.append((self.command, self.path, self.headers["Authorization"], body))
        status = {"/v2/refused/health": 401, "/v2/moved/health": 302}.get(self.path, 200)
        self.send_response(status)
        self.send_header("Location", "http://127.0.0.1:9/")
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(json.dumps({"path": self.path}).encode())

    do_GET = do_POST = answer  # noqa: N815 - the base class's names

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def runpod() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Played) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v2"
        server.shutdown()


@pytest.fixture(scope="module")
def endpoint(runpod: str) -> Iterator[Endpoint]:
    with start(remote_url=runpod) as served:
        yield served


def call(endpoint: Endpoint, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
    sent = {"Authorization": f"Bearer {KEY}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return requests.request(method, f"{endpoint.url}/remote/{path}", json=body, headers=sent, timeout=20)


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "abc/run"), ("GET", "abc/health"), ("GET", "abc/status/id-1"), ("POST", "abc/cancel/id-1")],
)
def test_a_call_is_passed_on_with_its_key_and_answered_as_json(endpoint: Endpoint, method: str, path: str) -> None:
    body = {"input": {"prompt": PROMPT}} if method == "POST" else None
    reply = call(endpoint, method, path, body)
    assert (reply.status_code, reply.json()) == (200, {"path": f"/v2/{path}"})
    assert reply.headers["Content-Type"] == "application/json"
    came = Played.came[-1]
    assert came[:3] == (method, f"/v2/{path}", f"Bearer {KEY}")
    assert came[3] == (json.dumps(body) if body else "")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "abc/run"),
        ("POST", "abc/health"),
        ("POST", "abc/purge-queue"),
        ("POST", "abc/retry/id-1"),
        ("GET", "a.b/health"),
        ("GET", "%2e%2e/health"),
        ("GET", "abc/status/..%2f..%2fother"),
    ],
)
def test_any_other_call_is_refused_and_not_passed_on(endpoint: Endpoint, method: str, path: str) -> None:
    before = len(Played.came)
    assert call(endpoint, method, path).status_code in (400, 404)
    assert len(Played.came) == before


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://elsewhere.example"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Host": "elsewhere.example:8000"},
        {"Host": "elsewhere.example", "Origin": "http://elsewhere.example"},
    ],
)
def test_another_sites_page_is_refused(endpoint: Endpoint, headers: dict[str, str]) -> None:
    before = len(Played.came)
    reply = call(endpoint, "GET", "abc/health", **headers)
    assert reply.status_code == 403
    assert "website" in reply.json()["error"]
    assert len(Played.came) == before


def test_a_refusal_is_handed_on_and_a_redirect_is_not_followed(endpoint: Endpoint) -> None:
    assert call(endpoint, "GET", "refused/health").status_code == 401
    assert call(endpoint, "GET", "moved/health").json() == {"path": "/v2/moved/health"}


def test_a_request_over_the_limit_is_refused_before_it_is_passed_on(runpod: str) -> None:
    with start(remote_url=runpod, run_limit=1000) as endpoint:
        before = len(Played.came)
        assert call(endpoint, "POST", "abc/run", {"input": "x" * 1000}).status_code == 413
        assert len(Played.came) == before


def test_an_api_that_is_not_reached_is_named_and_neither_key_nor_prompt_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    with start(remote_url="http://127.0.0.1:9/v2") as endpoint:
        reply = call(endpoint, "POST", "abc/run", {"input": {"prompt": PROMPT}})
    assert reply.status_code == 502
    assert "127.0.0.1 does not answer" in reply.json()["error"]
    assert "127.0.0.1 does not answer" in caplog.text
    assert KEY not in caplog.text
    assert PROMPT not in caplog.text
