"""A RunPod endpoint over HTTP, local or deployed."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from client.errors import RunError

API_BASE = "https://api.runpod.ai/v2"
REQUEST_LIMITS = {"run": 10_000_000, "runsync": 20_000_000}
"""Bytes of a request the platform takes."""
HOLD_MS = 1000
"""How long /runsync may hold the reply (1000 is the least): the reply names the job, which progress and cancel need."""
CONNECT_TIMEOUT = 10
READ_TIMEOUT = 120

Reply = dict[str, Any]
"""{"id", "status", "output"?, "error"?, "delayTime"?, "executionTime"?}: times in ms."""


class Endpoint:
    """The operations of one endpoint; every fault is a RunError that says what to do."""

    def __init__(self, url: str, api_key: str = "") -> None:
        self.url = url.rstrip("/")
        self._session = requests.Session()
        # A proxy from the environment knows no local endpoint.
        self._session.trust_env = urlsplit(url).hostname not in ("localhost", "127.0.0.1", "::1")
        if api_key:
            self._session.headers["Authorization"] = f"Bearer {api_key}"
        # A job of an hour survives a dropped connection or a busy gateway; asking again for a status is harmless.
        again = Retry(total=4, backoff_factor=0.5, status_forcelist=(429, 502, 503, 504), raise_on_status=False)
        self._session.mount(f"{self.url}/status/", HTTPAdapter(max_retries=again))

    def submit(self, operation: str, job_input: Mapping[str, Any]) -> Reply:
        """POST the job to /run or /runsync; the reply has its id and status, and its result if it is done by then."""
        body = json.dumps({"input": job_input}).encode()
        _check_size(operation, len(body))
        path = f"runsync?wait={HOLD_MS}" if operation == "runsync" else operation
        return _job_reply(self._request("POST", path, body))

    def status(self, job_id: str) -> Reply:
        """The job as it stands; while it runs, `output` is the worker's last progress message."""
        return _job_reply(self._request("GET", f"status/{job_id}"))

    def cancel(self, job_id: str) -> None:
        """Take the job back, whether it waits or runs."""
        self._request("POST", f"cancel/{job_id}")

    def health(self) -> Reply:
        """Counts: {"jobs": {...}, "workers": {...}}."""
        reply = self._request("GET", "health")
        if not all(isinstance(reply.get(subject), dict) for subject in ("jobs", "workers")):
            raise RunError("the reply has no counts of jobs and workers: is this the address of a RunPod endpoint?")
        return reply

    def _request(self, method: str, path: str, body: bytes | None = None) -> Reply:
        headers = {"Content-Type": "application/json"}
        timeouts = (CONNECT_TIMEOUT, READ_TIMEOUT)
        try:
            response = self._session.request(
                method, f"{self.url}/{path}", data=body, headers=headers, timeout=timeouts, allow_redirects=False
            )
        except requests.RequestException as error:
            raise RunError(f"{self.url}: {_reason(error)}") from error
        if response.status_code != 200:
            raise RunError(f"{self.url}/{path.partition('?')[0]}: {_refusal(response)}")
        return _json_object(response)


def _check_size(operation: str, size: int) -> None:
    limit = REQUEST_LIMITS[operation]
    if size > limit:
        other = ", or use sync (20 MB)" if operation == "run" else ""
        raise RunError(
            f"the request is {size / 1e6:.1f} MB and /{operation} takes {limit // 1_000_000} MB: "
            f"use a smaller image, give --image a URL{other}"
        )


def _job_reply(reply: Reply) -> Reply:
    if not isinstance(reply.get("id"), str) or not isinstance(reply.get("status"), str):
        raise RunError("the reply has no job id and status: is this the address of a RunPod endpoint?")
    return reply


def _json_object(response: requests.Response) -> Reply:
    try:
        reply = response.json()
    except requests.JSONDecodeError as error:
        raise RunError(f"{response.url} did not answer with JSON: is this a RunPod endpoint?") from error
    if not isinstance(reply, dict):
        raise RunError(f"{response.url} did not answer with a JSON object: is this a RunPod endpoint?")
    return reply


def _reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.exceptions.SSLError):
        return "no trusted TLS connection; check the address and this machine's certificates"
    if isinstance(error, requests.Timeout):
        return f"no answer within {READ_TIMEOUT} s; try again, or check the endpoint's health"
    if isinstance(error, requests.ConnectionError):
        return "no connection; start the worker (make serve, or --start-worker), or correct the address"
    return f"{type(error).__name__}: {error}"


def _refusal(response: requests.Response) -> str:
    advice = {
        401: "the key is not accepted; set RUNPOD_API_KEY to a key that may use this endpoint",
        403: "the key may not use this endpoint; check its permissions in the RunPod console",
        404: "not known here; check the endpoint's id, and that the job's result is still kept",
        413: "the request is too large; use a smaller image or give --image a URL",
        429: "too many requests; wait and try again",
    }
    text = advice.get(response.status_code) or response.text[:300].strip() or response.reason
    return f"HTTP {response.status_code}: {text}"
