"""Results of the previous prompt's nodes, found again by what went into them."""

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local.engine.folders import Folders, OutsideFolder
from local.engine.schemas import JSON

_LOADERS = {"LoadImage": "image", "LoadImageMask": "image", "LoadVideo": "file"}


@dataclass(frozen=True)
class Result:
    """What a node made: its outputs by slot, and for a saver what it shows."""

    values: tuple[Any, ...] = ()
    ui: JSON | None = None


class Cache:
    """ComfyUI's default cache: what the last prompt does not use is dropped."""

    def __init__(self) -> None:
        self._results: dict[str, Result] = {}

    def keep(self, signatures: Mapping[str, str]) -> None:
        """Drop all other results."""
        wanted = set(signatures.values())
        self._results = {key: result for key, result in self._results.items() if key in wanted}

    def get(self, signature: str) -> Result | None:
        """The result, if it is there."""
        return self._results.get(signature)

    def put(self, signature: str, result: Result) -> None:
        """Remember a result."""
        self._results[signature] = result


def sign(graph: JSON, folders: Folders) -> dict[str, str]:
    """Node id -> a name for all that its result depends on: class, values, picture bytes, and the nodes above it."""
    signatures: dict[str, str] = {}
    for node_id in graph:
        _sign_node(node_id, graph, folders, signatures)
    return signatures


def is_link(value: Any) -> bool:
    """Whether an input's value is another node's output."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)


def _sign_node(node_id: str, graph: JSON, folders: Folders, signatures: dict[str, str]) -> str:
    if node_id not in signatures:
        signatures[node_id] = uuid.uuid4().hex  # what a cycle in a part that does not run comes back to
        node = graph[node_id]
        parts: JSON = {"class": node["class_type"], "changed": _changed(node, folders)}
        for name, value in node.get("inputs", {}).items():
            linked = is_link(value) and value[0] in graph
            parts[f"input {name}"] = (
                [_sign_node(value[0], graph, folders, signatures), value[1]] if linked else {"value": value}
            )
        signatures[node_id] = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return signatures[node_id]


def _changed(node: JSON, folders: Folders) -> str:
    """A hash of the file that a loader reads; never the same twice when it cannot be read."""
    name = _LOADERS.get(node["class_type"])
    if not name:
        return ""
    try:
        return hashlib.sha256(folders.locate(node["inputs"][name]).read_bytes()).hexdigest()
    except (OSError, ValueError, KeyError, TypeError, OutsideFolder):
        return uuid.uuid4().hex
