"""The JSON that goes in and out: its models, and reading it with limits."""

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from fastapi import HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.json_schema import models_json_schema

MOST_MEMORY = 100_000_000
"""Bytes: five times the longest body; 9.9 MB of `[]` would take 230 MB."""
_WEIGHTS = ((b"[", 96), (b"{", 240), (b",", 40), (b":", 64), (b'"', 32))
"""Bytes that a list, an object, an entry's place and number, a key and its place, and half a text take in Python."""
REF = "#/components/schemas/{model}"


class Json(JSONResponse):
    """Escapes what UTF-8 cannot hold: a lone surrogate in a job's input must not jam the queue."""

    def render(self, content: Any) -> bytes:
        """As ASCII."""
        return json.dumps(content, separators=(",", ":")).encode("ascii")


class Policy(BaseModel):
    """Limits of one job, in milliseconds."""

    model_config = ConfigDict(strict=True)

    executionTimeout: int | None = Field(None, ge=5000, le=604_800_000, description="longest run; default 600000")  # noqa: N815 (RunPod's name)
    ttl: int | None = Field(None, ge=10_000, le=604_800_000, description="longest life; default 86400000")
    lowPriority: bool = Field(False, description="no effect here")  # noqa: N815 (RunPod's name)


class JobRequest(BaseModel):
    """What /run and /runsync take."""

    input: Any = Field(description="goes to the worker's handler as it is", examples=[{"prompt": "a rocket lifts off"}])
    policy: Policy | None = None
    webhook: str | None = Field(None, description="passed on to the worker; this stand-in never calls it")
    s3Config: dict[str, Any] | None = Field(None, description="passed on to the worker")  # noqa: N815 (RunPod's name)


class JobState(BaseModel):
    """A job's id and state."""

    id: str
    status: str = Field(examples=["IN_QUEUE", "IN_PROGRESS", "COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"])


class JobStatus(JobState):
    """A job's report; times in milliseconds; while it runs, `output` is its last progress update."""

    delayTime: int | None = None  # noqa: N815 (RunPod's name)
    executionTime: int | None = None  # noqa: N815 (RunPod's name)
    workerId: str | None = None  # noqa: N815 (RunPod's name)
    output: Any = None
    error: str | None = None


class StreamReply(JobState):
    """The pieces streamed since the last call."""

    stream: list[dict[str, Any]]


class PurgeReply(BaseModel):
    """How many waiting jobs were cancelled."""

    removed: int
    status: str = "completed"


class JobDone(BaseModel):
    """What a worker posts: a result, or with status IN_PROGRESS a progress update."""

    output: Any = None
    error: str | None = None
    status: str | None = None
    stopPod: bool = False  # noqa: N815 (RunPod's name)


class ErrorReply(BaseModel):
    """Why a call was refused."""

    error: str


def body_of(model: type[BaseModel]) -> dict[str, Any]:
    """The OpenAPI entry of a route that reads its body itself."""
    schema = {"$ref": REF.format(model=model.__name__)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def body_schemas() -> dict[str, Any]:
    """The schemas that `body_of` refers to."""
    _, schema = models_json_schema([(JobRequest, "validation"), (JobDone, "validation")], ref_template=REF)
    return dict(schema["$defs"])


def describe_worker(schemas: dict[str, Any], worker: Mapping[str, Any]) -> None:
    """Put the worker's own `Input` and `Output`, and what they refer to, in the place of any JSON."""
    schemas.update(worker)
    for model, field, name in (("JobRequest", "input", "Input"), ("JobStatus", "output", "Output")):
        if name in worker:
            schemas[model]["properties"][field] = {"$ref": REF.format(model=name)}


def weigh(body: bytes) -> int:
    """The most bytes of memory that a JSON text takes once it is read. A text with an emoji is four times as wide."""
    wide = not body.isascii() or b"\\u" in body
    return len(body) * (4 if wide else 1) + sum(body.count(mark) * weight for mark, weight in _WEIGHTS)


async def read_limited(request: Request, limit: int) -> bytes | None:
    """The body; None if it is longer than `limit` bytes, read to its end all the same so that the answer arrives."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
        else:
            chunks.clear()
    return b"".join(chunks) if size <= limit else None


def parse_object(body: bytes) -> dict[str, Any]:
    """The body as a JSON object; raises 413 where that would take too much memory, else 400.

    The content type does not matter: the SDK posts JSON as a form.
    """
    if weigh(body) > MOST_MEMORY:
        raise HTTPException(413, f"the body would take more than {MOST_MEMORY} bytes of memory: send fewer values")
    try:
        value = json.loads(body, parse_constant=_refuse_constant, parse_float=_read_float)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"the body is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise HTTPException(400, 'the body must be a JSON object such as {"input": {...}}')
    return value


def parse_request(body: bytes) -> dict[str, Any]:
    """A job as the worker will get it, less its id; raises 400 that names every wrong field."""
    value = parse_object(body)
    if "input" not in value:
        raise HTTPException(400, 'the body has no "input": send {"input": {...}}')
    try:
        JobRequest.model_validate(value)
    except ValidationError as error:
        raise HTTPException(400, explain(error.errors())) from None
    return {key: value[key] for key in JobRequest.model_fields if key == "input" or value.get(key) is not None}


def explain(errors: Any) -> str:
    """Pydantic's errors as one line, without the values."""
    return "; ".join(f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}" for error in errors)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _read_float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError("a number is too large")
    return value
