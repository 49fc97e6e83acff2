"""ComfyUI over HTTP: one method for each route the worker uses."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from worker.comfyui import faults
from worker.errors import ComfyUIUnavailable, OutputFailed
from worker.graph import Graph

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 60.0  # for what carries files; ComfyUI's loop was seen blocked for 0.4 s by a tiny model's load
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
class SavedFile:
    """A file that a node saved, as history names it."""

    node_id: str
    filename: str
    subfolder: str
    folder: str
    """`output` or `temp`"""
    animated: bool


@dataclass(frozen=True)
class Outcome:
    """How a prompt ended: its files, or the message that says why there are none."""

    files: tuple[SavedFile, ...]
    error: Mapping[str, Any] | None
    interrupted: bool


log = logging.getLogger(__name__)


class Refused(ComfyUIUnavailable):
    """Nothing listens at ComfyUI's address: it is dead or has yet to start."""


class ComfyUI:
    """One job's connection to ComfyUI. Not thread-safe: make one per job.

    Every method raises ComfyUIUnavailable when ComfyUI refuses the connection, does not answer in time or answers 5xx.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = requests.Session()
        self._http.trust_env = False  # a proxy of the container is not for its own ComfyUI
        for scheme in ("http://", "https://"):  # a shorter prefix would lose to requests' own adapters
            self._http.mount(scheme, HTTPAdapter(max_retries=_RETRIES))

    def close(self) -> None:
        """Close the pooled connections."""
        self._http.close()

    def stats(self) -> Mapping[str, Any]:
        """Versions, memory and devices (/system_stats); a stand-in for ComfyUI names itself under `stand_in`."""
        stats = self._request("GET", "/system_stats").json()
        return {**stats["system"], "devices": stats["devices"]}

    def has_node(self, class_type: str) -> bool:
        """Whether there is a node class of that name (/object_info)."""
        return class_type in self._request("GET", f"/object_info/{class_type}").json()

    def upload(self, data: bytes, filename: str, subfolder: str) -> str:
        """Store a picture under input/`subfolder` and return the name by which LoadImage finds it."""
        fields = {"subfolder": subfolder, "type": "input", "overwrite": "true"}
        answer = self._request("POST", "/upload/image", data=fields, files={"image": (filename, data)}).json()
        return str(PurePosixPath(answer["subfolder"]) / answer["name"])

    def queue(self, prompt: Prompt, client_id: str) -> None:
        """Queue the prompt, its messages to go to `client_id`; raises WorkflowRejected for what ComfyUI finds wrong.

        ComfyUI runs the sound part of a graph that is partly broken; the caller must `stop` the prompt after any error.
        """
        body: dict[str, Any] = {"prompt": prompt.graph.nodes, "prompt_id": prompt.id, "client_id": client_id}
        if prompt.api_key:
            body["extra_data"] = {"api_key_comfy_org": prompt.api_key}
        response = self._request("POST", "/prompt", json=body, allow=400)
        answer = response.json()
        if response.status_code == 400 or answer.get("node_errors"):
            raise faults.rejection(answer, prompt.graph)

    def outcome(self, prompt_id: str) -> Outcome | None:
        """How the prompt ended, from its history entry; None while there is none."""
        entry = self._request("GET", f"/history/{prompt_id}", read=LOOK_TIMEOUT).json().get(prompt_id)
        if entry is None:
            return None
        messages = dict(entry["status"].get("messages", []))
        return Outcome(
            files=tuple(saved_files(entry["outputs"])),
            error=messages.get("execution_error"),
            interrupted="execution_interrupted" in messages,
        )

    def place(self, prompt_id: str) -> str | None:
        """Where the prompt stands in the queue: `running`, `pending`, or None when it is not there."""
        queue = self._request("GET", "/queue", read=LOOK_TIMEOUT).json()
        for place in ("running", "pending"):
            if any(entry[1] == prompt_id for entry in queue[f"queue_{place}"]):
                return place
        return None

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
        response = self._request("GET", "/view", params=query, allow=404)
        if response.status_code == 404:
            raise OutputFailed(f"ComfyUI lists {file.filename} as saved by node {file.node_id}, but has no such file")
        return response.content

    def _request(
        self, method: str, path: str, allow: int = 200, read: float = READ_TIMEOUT, **options: Any
    ) -> requests.Response:
        try:
            response = self._http.request(method, self.url + path, timeout=(CONNECT_TIMEOUT, read), **options)
        except requests.ConnectionError as error:
            raise Refused(f"ComfyUI does not answer at {self.url}") from error
        except requests.RequestException as error:
            raise ComfyUIUnavailable(f"ComfyUI does not answer at {self.url}: {type(error).__name__}") from error
        if response.status_code not in {200, allow}:
            raise ComfyUIUnavailable(f"ComfyUI answered HTTP {response.status_code} to {method} {path}")
        return response


@contextmanager
def connect(url: str, log_file: Path | None) -> Iterator[ComfyUI]:
    """One job's connection; ComfyUIUnavailable leaves it with the last lines of ComfyUI's log, which has no prompts."""
    comfyui = ComfyUI(url)
    try:
        yield comfyui
    except ComfyUIUnavailable as error:
        if lines := faults.read_last_lines(log_file) if log_file else []:
            log.warning("ComfyUI's last lines:\n%s", "\n".join(lines))
            raise error.adding(comfyui_log=lines) from error
        raise
    finally:
        comfyui.close()


def saved_files(outputs: Mapping[str, Any]) -> list[SavedFile]:
    """Every file in history's `outputs`, whatever key its node chose (images, gifs, videos, ...), in order."""
    files = []
    for node_id, output in outputs.items():
        animated = any(output.get("animated") or ())
        entries = [entry for value in output.values() if isinstance(value, (list, tuple)) for entry in value]
        for entry in entries:
            if isinstance(entry, dict) and "filename" in entry:
                folder = entry.get("type", "output")
                files.append(SavedFile(node_id, entry["filename"], entry.get("subfolder", ""), folder, animated))
    return files
