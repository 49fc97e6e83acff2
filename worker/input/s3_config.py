"""The bucket that a job brings along: `s3Config`, which RunPod's API takes beside the job's input."""

import contextlib
import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from worker import sdk
from worker.config import Bucket, Settings
from worker.input import faults

RESOLVE_SECONDS = 15.0
TICK = 0.1  # seconds at most until a cancel is seen
_HTTP_URL = r"^[hH][tT][tT][pP][sS]?://[^/?#@\s]+(/[^?#\s]*)?$"


class S3Config(BaseModel):
    """RunPod's own names. https://docs.runpod.io/serverless/endpoints/send-requests"""

    model_config = ConfigDict(frozen=True, extra="ignore")

    access_id: str = Field(alias="accessId", pattern=r"\S", repr=False)
    access_secret: str = Field(alias="accessSecret", pattern=r"\S", repr=False)
    bucket_name: str = Field("", alias="bucketName", pattern=r"^[A-Za-z0-9._-]*$")
    endpoint_url: str = Field(alias="endpointUrl", pattern=_HTTP_URL)


# No message repeats such a value: a key can stand in the wrong field.
RULES = {
    "accessId": "the access key's id, as text",
    "accessSecret": "the access key's secret, as text",
    "bucketName": "text of letters, digits, dots, hyphens and underscores",
    "endpointUrl": "an http:// or https:// URL without user, query and fragment",
}


def parse(value: object, settings: Settings, check: Callable[[], None] = lambda: None) -> Bucket | None:
    """The job's bucket, None where it brings none; raises InvalidInput naming every fault, and what `check` raises.

    Its endpoint is resolved here, and nowhere again: the files go to the addresses that were found to be public.
    """
    if value is None or value == {}:
        return None
    if not isinstance(value, dict):
        raise faults.invalid_input({"s3Config": f"must be an object, got {faults.kind(value)}"})
    try:
        given = S3Config.model_validate({name: item for name, item in value.items() if item is not None})
    except ValidationError as error:
        found = faults.of_fields(error, {}, RULES)
        raise faults.invalid_input({f"s3Config.{name}": fault for name, fault in found.items()}) from None
    endpoint = given.endpoint_url.rstrip("/")
    return Bucket(
        endpoint,
        given.access_id.strip(),
        given.access_secret.strip(),
        name=given.bucket_name,
        prefix="",
        expiry=settings.bucket_expiry,
        timeout=settings.bucket_timeout,
        addresses=_resolve(endpoint, check),
    )


def _resolve(endpoint: str, check: Callable[[], None]) -> tuple[str, ...]:
    """The caller names the address, and the worker sends to it: only public ones, as for images by URL."""
    found: list[tuple[str, ...]] = []

    def look() -> None:
        # UnicodeError, a ValueError: a name that is no name. A refused address is one, too.
        with contextlib.suppress(ValueError, OSError):
            url = urlsplit(endpoint)
            port = url.port or (443 if url.scheme.lower() == "https" else 80)
            found.append(tuple(sdk.address_guard().resolve_and_validate(url.hostname or "", port)))

    thread = threading.Thread(target=look, daemon=True)  # a resolver cannot be told to stop
    thread.start()
    end = time.monotonic() + RESOLVE_SECONDS
    while thread.is_alive() and time.monotonic() < end:
        thread.join(TICK)
        check()
    if not found:
        fault = "must be a public address that resolves"
        raise faults.invalid_input({"s3Config.endpointUrl": fault})
    return found[0]
