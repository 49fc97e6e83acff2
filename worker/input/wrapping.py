"""A job's input taken out of what clients wrap it in: JSON text, another `input`, the body of ComfyUI's /prompt."""

import json
from collections.abc import Mapping
from typing import Any

from worker.errors import InvalidInput
from worker.input.faults import kind

GRAPHS = ("workflow", "workflow_json", "workflow_api", "api_workflow", "comfy_workflow", "comfyui_workflow", "prompt")
"""Names under which clients send a graph; the first is the field's. A prompt that is a graph is no text for a clip."""
FILES = ("images", "files", "input_images")
MAX_LAYERS = 5


def read_object(job_input: object) -> dict[str, Any]:
    """The input's fields, also where it is JSON text, lies in another `input`, or is a graph and nothing else."""
    fields = _read_json(job_input)
    for _ in range(MAX_LAYERS):
        if isinstance(fields, dict) and set(fields) == {"input"}:
            fields = _read_json(fields["input"])
    if isinstance(fields, str):
        raise InvalidInput("input: must be an object with an image, got text that is not JSON")
    if not isinstance(fields, dict):
        raise InvalidInput(f"input: must be an object with an image, got {kind(fields)}")
    return {"workflow": fields} if fields and all(map(_is_node, fields.values())) else fields


def name_workflow(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with their graph under `workflow`, out of its wrapping, and the list of its files as a list."""
    found = {name: unwrap_graph(fields[name]) for name in GRAPHS if fields.get(name) is not None}
    name = next((name for name, graph in found.items() if name != "prompt" or _is_graph(graph)), None)
    named = {other: value for other, value in fields.items() if other != name}
    if name:
        named["workflow"] = found[name]
    return {name: _list_files(value) if name in FILES else value for name, value in named.items()}


def unwrap_graph(value: object, layers: int = MAX_LAYERS) -> object:
    """The graph itself, where it comes as JSON text, as ComfyUI's request, as a PNG's metadata, or in another object.

    The editor's own format, and what has no graph in it, comes back as it is.
    """
    value = _read_json(value)
    if not isinstance(value, dict) or _is_graph(value) or _is_editors(value) or not layers:
        return value
    found = [unwrap_graph(inner, layers - 1) for inner in value.values() if isinstance(inner, (dict, str))]
    return next((inner for is_it in (_is_graph, _is_editors) for inner in found if is_it(inner)), value)


def _read_json(value: object) -> object:
    """What JSON text says, once or again written into JSON; anything else is itself."""
    for _ in range(MAX_LAYERS):
        if not isinstance(value, str):
            break
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            break
    return value


def _list_files(value: object) -> object:
    """Files as a list, also where there is one alone, or an object of names and data."""
    value = _read_json(value)
    if not isinstance(value, dict):
        return value
    if not all(isinstance(data, str) for data in value.values()) or {"image", "data", "url", "file"} & set(value):
        return [value]
    return [{"name": name, "image": data} for name, data in value.items()]


def _is_node(value: object) -> bool:
    return isinstance(value, dict) and "class_type" in value


def _is_graph(value: object) -> bool:
    return isinstance(value, dict) and any(map(_is_node, value.values()))


def _is_editors(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("nodes"), list)
