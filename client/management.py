"""Show the image of a deployed endpoint, or roll the endpoint over to another one.

    python -m client.management image ID         prints the image
    python -m client.management roll ID IMAGE    returns once the workers run IMAGE

The key is read from RUNPOD_API_KEY. Exit code 0, or 1 with one line on standard error.
The API: https://docs.runpod.io/api-reference-v2
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from client.errors import RunError

API_BASE = "https://api.runpod.io/v2"
BUSY = (429, 500, 502, 503, 504)
RETRIES = 5
TIMEOUTS = (10, 60)
"""Seconds to connect, and between two bytes of the reply."""
READY = ("IDLE", "RUNNING")

Worker = dict[str, Any]
"""{"id", "status", "isStale", "image"?}: isStale says that its configuration is older than the endpoint's."""


class ManagementAPI:
    """One endpoint's configuration and workers; every fault is a RunError that says what to do."""

    def __init__(self, base: str, endpoint_id: str, api_key: str, pause: float) -> None:
        self._url = f"{base.rstrip('/')}/serverless/{quote(endpoint_id, safe='')}"
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {api_key}"
        # PATCH is among the methods sent again: naming the same image twice changes nothing.
        retry = Retry(
            total=RETRIES,
            connect=2,
            backoff_factor=pause,
            status_forcelist=BUSY,
            allowed_methods=None,
            respect_retry_after_header=False,
            raise_on_status=False,
        )
        self._session.mount(self._url, HTTPAdapter(max_retries=retry))

    def endpoint(self) -> dict[str, Any]:
        """The configuration: {"image", "workers": {"min", "max"}, ...}."""
        return self._request("GET", "")

    def set_image(self, image: str) -> None:
        """Name another image; the workers follow as the platform replaces them."""
        self._request("PATCH", "", {"image": image})

    def workers(self) -> list[Worker]:
        """The active workers; those scaled down are not listed."""
        workers: list[Worker] = self._request("GET", "/workers")["workers"]
        return workers

    def _request(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        try:
            response = self._session.request(
                method, self._url + path, json=body, timeout=TIMEOUTS, allow_redirects=False
            )
            reply = response.json() if response.status_code == 200 else None
        except requests.RequestException as error:
            raise RunError(f"{self._url}: no usable answer ({type(error).__name__}); check the network") from error
        if not isinstance(reply, dict):
            raise RunError(f"{self._url}: {_refusal(response)}")
        return reply


def roll(api: ManagementAPI, image: str, timeout: float, pause: float) -> None:
    """Name `image`, and return once no worker runs another and one is ready where the endpoint keeps any."""
    api.set_image(image)
    endpoint = api.endpoint()
    if endpoint["image"] != image:
        raise RunError(f"the endpoint still names {endpoint['image']} after the change to {image}; look in the console")
    deadline = time.monotonic() + timeout
    shown = ""
    while True:
        workers = api.workers()
        if (line := describe(workers, image)) != shown:
            _say(shown := line)
        if is_settled(workers, image, endpoint["workers"]["min"]):
            return
        if time.monotonic() > deadline:
            raise RunError(f"after {timeout:.0f} s {line}; see the workers' logs in the RunPod console")
        time.sleep(pause)


def is_settled(workers: Sequence[Worker], image: str, minimum: int) -> bool:
    """Whether the roll is over; an endpoint that scales to zero may have no worker: its next job starts a new one."""
    if not workers:
        return minimum == 0
    return all(_runs(worker, image) for worker in workers) and any(worker["status"] in READY for worker in workers)


def describe(workers: Sequence[Worker], image: str) -> str:
    """The roll as it stands, in words."""
    new = [worker["status"] for worker in workers if _runs(worker, image)]
    states = ", ".join(f"{new.count(status)} {status.lower()}" for status in sorted(set(new)))
    return f"{len(new)} of {len(workers)} workers run the new image" + (f" ({states})" if states else "")


def _runs(worker: Worker, image: str) -> bool:
    # Right after the change a worker is not stale yet while its image is old; until it is placed it has no image.
    return not worker["isStale"] and worker.get("image") in (image, None)


def _refusal(response: requests.Response) -> str:
    advice = {
        200: "the answer is not a JSON object; is this the management API?",
        401: "the key is not accepted; set RUNPOD_API_KEY to a key of this account",
        403: "the key may not do this; give it read and write access to endpoints in the RunPod console",
        404: "no such endpoint in this account; check the endpoint's id",
        429: f"too many requests, {RETRIES + 1} times in a row; wait a few minutes and try again",
    }
    text = advice.get(response.status_code) or response.text[:300] or response.reason
    return f"HTTP {response.status_code}: {text}"


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - a command's output


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="client.management", description=__doc__.partition("\n")[0])
    parser.add_argument("operation", choices=("image", "roll"))
    parser.add_argument("endpoint", metavar="ID")
    parser.add_argument("image", nargs="?", default="", help="for roll")
    parser.add_argument("--base", default=API_BASE, metavar="URL", help=f"default: {API_BASE}")
    parser.add_argument("--timeout", type=float, default=1800, metavar="S", help="for the workers; default: 1800")
    parser.add_argument("--pause", type=float, default=3, metavar="S", help="between two looks; default: 3")
    options = parser.parse_args()
    if options.operation == "roll" and not options.image:
        parser.error("roll needs an IMAGE")
    try:
        _run(options)
    except (RunError, KeyError) as error:
        fault = f"the API's answer lacks {error}" if isinstance(error, KeyError) else error
        print(f"client.management: {fault}", file=sys.stderr)  # noqa: T201 - a command's output
        return 1
    return 0


def _run(options: argparse.Namespace) -> None:
    key = os.environ.get("RUNPOD_API_KEY", "")
    if not key:
        raise RunError("the API needs a key: export RUNPOD_API_KEY=... (RunPod console, Credentials, API Keys)")
    api = ManagementAPI(options.base, options.endpoint, key, options.pause)
    if options.operation == "roll":
        roll(api, options.image, options.timeout, options.pause)
        return
    endpoint = api.endpoint()
    if endpoint["workers"]["max"] == 0:
        raise RunError("the endpoint's max workers is 0, so it runs no jobs: raise it in the RunPod console")
    _say(endpoint["image"])


if __name__ == "__main__":
    sys.exit(main())
