"""The bucket that a job brings along: `s3Config`, which RunPod's API takes beside the job's input."""

from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from worker import sdk
from worker.config import Bucket, Settings
from worker.input import faults

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


def parse(value: object, settings: Settings) -> Bucket | None:
    """The job's bucket, None where it brings none; raises InvalidInput naming every fault."""
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
    _refuse_private(endpoint)
    keys = (given.access_id.strip(), given.access_secret.strip())
    return Bucket(endpoint, *keys, given.bucket_name, "", settings.bucket_expiry, settings.bucket_timeout)


def _refuse_private(endpoint: str) -> None:
    """The caller names the address, and the worker sends to it: only public ones, as for pictures by URL."""
    try:
        url = urlsplit(endpoint)
        sdk.address_guard().resolve_and_validate(url.hostname or "", url.port or 443)
    except ValueError as error:
        fault = {"s3Config.endpointUrl": "is an address that does not resolve, or that this worker does not send to"}
        raise faults.invalid_input(fault) from error
