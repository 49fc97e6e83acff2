"""ComfyUI over HTTP: one method for each route the worker uses."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import quote

import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError
from urllib3.util.retry import Retry

from worker.comfyui import classes, faults, outputs
from worker.comfyui.outputs import Outputs, SavedFile
from worker.errors import ComfyUIUnavailable, OutputFailed, WorkflowRejected
from worker.graph import Graph
from worker.sdk import encodable

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 60.0  # for what carries files; ComfyUI's loop was seen blocked for 0.4 s by a tiny model's load
LONGEST_CLASS = 300  # bytes of a class's name; a longer one is nobody's
LOOK_TIMEOUT = 5.0  # for looks at a running prompt, between which a cancel must be seen


# A finished clip must not be lost to one bad answer: reading again is safe, and only reading is.
# `read=False` keeps a timeout apart from a refused connection.
_RETRIES = Retry(
    connect=0,
    read=False,
    status=3,
    status_forcelist=(500, 502, 503, 504),
    allowed_methods={"GET"},
    raise_on_status=False,
)


@dataclass(frozen=True)
class Prompt:
    """A graph in ComfyUI's queue, under an id of the worker's own choice."""

    id: str
    graph: Graph
    api_key: str = field(default="", repr=False)
    """Pays for ComfyUI's API nodes; ComfyUI keeps it out of its history."""


@dataclass(frozen=True)
class NodeClass:
    """What ComfyUI tells of a class of nodes."""

    module: str
    """The Python module that it is of, such as `custom_nodes.pack`."""
    outputs: tuple[str, ...]
    """Their types; `COMBO` for one of several values."""
    inputs: Mapping[str, str]
    """Their types, likewise, by name."""


def _type_of(kind: object) -> str:
    return kind if isinstance(kind, str) else "COMBO"


@dataclass(frozen=True)
class Place:
    """Where a prompt stands in ComfyUI's queue; neither: it is not there."""

    running: bool
    pending: bool
    idle: bool
    """Whether nothing runs at all."""

    @property
    def somewhere(self) -> bool:
        """Whether ComfyUI has it."""
        return self.running or self.pending


@dataclass(frozen=True)
class Outcome:
    """How a prompt ended: what it made, or the message that says why there is nothing."""

    outputs: Outputs
    error: Mapping[str, Any] | None
    interrupted: bool


T = TypeVar("T")
log = logging.getLogger(__name__)


class Refused(ComfyUIUnavailable):
    """Nothing listens at ComfyUI's address: it is dead or has yet to start."""


class ComfyUI:
    """One job's connection to ComfyUI. Not thread-safe: make one per job.

    Every method raises ComfyUIUnavailable when ComfyUI refuses the connection, does not answer in time or answers 5xx.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = urllib3.PoolManager(retries=_RETRIES)

    def close(self) -> None:
        """Close the pooled connections."""
        self._http.clear()

    def stats(self) -> Mapping[str, Any]:
        """Versions, memory and devices (/system_stats); a stand-in for ComfyUI names itself under `stand_in`."""

        def read(stats: Any) -> dict[str, Any]:
            return {**stats["system"], "devices": [*stats["devices"]]}

        return self._ask("GET", "/system_stats", read, read=LOOK_TIMEOUT)

    def has_node(self, class_type: str) -> bool:
        """Whether there is a node class of that name (/object_info)."""
        return self._ask("GET", f"/object_info/{class_type}", lambda classes: class_type in classes)

    def find_class(self, class_type: str) -> NodeClass | None:
        """A class of nodes; None: ComfyUI has no such class."""

        def find(listed: dict[str, Any]) -> NodeClass | None:
            found = listed.get(class_type)
            if not found:
                return None
            groups = (found["input"].get(group, {}) for group in ("required", "optional"))
            inputs = {name: _type_of(kind) for group in groups for name, (kind, *_) in group.items()}
            return NodeClass(str(found["python_module"]), tuple(map(_type_of, found["output"])), inputs)

        name = quote(class_type.encode("utf-8", "replace")[:LONGEST_CLASS], safe="")
        return self._ask("GET", f"/object_info/{name}", find, allow=404)

    def choices(self, class_type: str, name: str) -> list[str]:
        """The values that a node class's input is chosen from, such as the files of a models folder."""

        def read(schemas: Any) -> list[str]:
            kind, *options = schemas[class_type]["input"]["required"][name]
            return list(kind if isinstance(kind, list) else options[0]["options"])

        return self._ask("GET", f"/object_info/{class_type}", read)

    def default_of(self, class_type: str, name: str) -> Any:
        """The default of a required input that is one of several choices; None where there is no such node class."""

        def find(classes: dict[str, Any]) -> Any:
            return classes[class_type]["input"]["required"][name][1]["default"] if class_type in classes else None

        return self._ask("GET", f"/object_info/{class_type}", find)

    def upload(self, data: bytes, filename: str, subfolder: str) -> str:
        """Store a picture under input/`subfolder` and return the name by which LoadImage finds it."""
        fields = {"subfolder": subfolder, "type": "input", "overwrite": "true", "image": (filename, data)}
        return self._ask(
            "POST", "/upload/image", lambda told: str(PurePosixPath(told["subfolder"]) / told["name"]), fields=fields
        )

    def queue(self, prompt: Prompt, client_id: str) -> None:
        """Queue the prompt, its messages to go to `client_id`; raises WorkflowRejected for what ComfyUI finds wrong.

        ComfyUI runs the sound part of a graph that is partly broken; the caller must `stop` the prompt after any error.
        """
        body: dict[str, Any] = {"prompt": prompt.graph.nodes, "prompt_id": prompt.id, "client_id": client_id}
        if prompt.api_key:
            body["extra_data"] = {"api_key_comfy_org": prompt.api_key}
        answer = self._ask("POST", "/prompt", dict, json=body, allow=400)
        if answer.get("error") or answer.get("node_errors") or "prompt_id" not in answer:
            raise self._rejection(answer, prompt.graph)

    def _rejection(self, answer: Mapping[str, Any], prompted: Graph) -> WorkflowRejected:
        missing = classes.find_missing(answer)
        if missing is None:
            return faults.rejection(answer, prompted)
        whole = not self.stats().get("stand_in")
        return classes.rejection(missing, prompted, self._ask("GET", "/object_info", dict), whole=whole)

    def outcome(self, prompt_id: str) -> Outcome | None:
        """How the prompt ended, from its history entry; None while there is none."""
        path = f"/history/{prompt_id}"
        return self._ask("GET", path, lambda history: _read_entry(history.get(prompt_id)), read=LOOK_TIMEOUT)

    def place(self, prompt_id: str) -> Place:
        """Where the prompt stands in the queue."""

        def find(queue: Any) -> Place:
            running, pending = ([entry[1] for entry in queue[f"queue_{place}"]] for place in ("running", "pending"))
            return Place(prompt_id in running, prompt_id in pending, idle=not running)

        return self._ask("GET", "/queue", find, read=LOOK_TIMEOUT)

    def interrupt(self, prompt_id: str) -> None:
        """Take the prompt out of the queue, and ask it to stop if it runs. One request can be lost: see `stop`."""
        self._request("POST", "/queue", json={"delete": [prompt_id]})
        self._request("POST", "/interrupt", json={"prompt_id": prompt_id})

    def free(self) -> None:
        """Have ComfyUI unload its models and drop its cache once the current prompt is done."""
        self._request("POST", "/free", json={"unload_models": True, "free_memory": True})

    def fetch(self, file: SavedFile) -> bytes:
        """The bytes of a saved file; raises OutputFailed when it is gone."""
        query = {"filename": file.filename, "subfolder": file.subfolder, "type": file.folder}
        response = self._request("GET", "/view", fields=encodable(query), allow=404)
        if response.status == 404:
            raise OutputFailed(f"ComfyUI lists {file.filename} as saved by node {file.node_id}, but has no such file")
        return response.data

    def _ask(self, method: str, path: str, understand: Callable[[Any], T], **options: Any) -> T:
        """What `understand` makes of the answer; ComfyUIUnavailable too where that is something else than ComfyUI's."""
        response = self._request(method, path, **options)
        if response.status == 404:
            return understand({})
        try:
            return understand(response.json())
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise ComfyUIUnavailable(f"the answer to {method} {path} is not from ComfyUI") from error

    def _request(
        self, method: str, path: str, allow: int = 200, read: float = READ_TIMEOUT, **options: Any
    ) -> urllib3.BaseHTTPResponse:
        timeout = urllib3.Timeout(connect=CONNECT_TIMEOUT, read=read)
        try:
            response = self._http.request(method, self.url + path, timeout=timeout, **options)
        except HTTPError as error:
            if isinstance(error, MaxRetryError) or isinstance(error.args[-1], ConnectionError):
                raise Refused(f"ComfyUI does not answer at {self.url}") from error
            raise ComfyUIUnavailable(f"ComfyUI does not answer at {self.url}: {type(error).__name__}") from error
        if response.status not in {200, allow}:
            raise ComfyUIUnavailable(f"ComfyUI answered HTTP {response.status} to {method} {path}")
        return response


@contextmanager
def connect(url: str, log_file: Path | None, *, quote: bool = True) -> Iterator[ComfyUI]:
    """One job's connection; ComfyUIUnavailable leaves it with the lines that ComfyUI logged meanwhile.

    quote: whether they are this job's alone, and may go into its answer.
    """
    comfyui, start = ComfyUI(url), faults.size_of(log_file)
    try:
        yield comfyui
    except ComfyUIUnavailable as error:
        lines = faults.read_last_lines(log_file, start) if log_file else []
        for line in lines:
            log.warning("ComfyUI's last lines: %s", line)
        raise error.adding(comfyui_log=lines) if lines and quote else error from error.__cause__
    finally:
        comfyui.close()


def _read_entry(entry: Any) -> Outcome | None:
    """One prompt's history: its outputs as far as they are understood."""
    if entry is None:
        return None
    status = entry.get("status")
    status = status if isinstance(status, dict) else {}
    listed = status.get("messages")
    listed = listed if isinstance(listed, list) else []
    messages = {str(item[0]): item[1] for item in listed if isinstance(item, list) and len(item) == 2}
    error, interrupted = messages.get("execution_error"), "execution_interrupted" in messages
    if not isinstance(error, dict):
        failed = "execution_error" in messages or status.get("status_str") == "error"
        error = {} if failed and not interrupted else None
    return Outcome(outputs.read(entry.get("outputs")), error, interrupted)
