"""ComfyUI's answers about what is wrong, as the worker's errors."""

import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from worker import catalogue
from worker.errors import ExecutionFailed, OutOfMemory, WorkerError, WorkflowRejected
from worker.graph import MODEL_SUFFIXES, Graph

SHOWN_CHARACTERS = 300
SHOWN_OPTIONS = 12
LINES, LINE_LENGTH = 15, 300
TRACEBACK_LINES = 40
TAIL = 16_384  # bytes of ComfyUI's log: enough for the lines, whatever progress bars stand between them
_NAMED = re.compile(r"Node ID '#(.+)'")
# ComfyUI 0.33 checks no input that brings further ones with its value: one that it does not know is left out.
_LACKING = re.compile(r"missing \d+ required .*argument.*?: (.+)")
MODELS_PAGE = "docs/MODELS.md#files-of-your-own"
NO_OUTPUTS = ": no node of it saves or shows anything; add one that does, such as SaveImage or SaveVideo"
log = logging.getLogger(__name__)


def rejection(answer: Mapping[str, Any], graph: Graph) -> WorkflowRejected:
    """What ComfyUI found wrong with a graph, each fault with node, input, value and what is allowed.

    ModelMissing where a graph of the worker's own lacks one of its models.
    """
    error = answer.get("error")
    faults = _read_node_errors(answer.get("node_errors") or _place(error), graph)
    missing = catalogue.explain_missing([fault.get("value") for fault in faults]) if graph.own else None
    if missing:
        return missing
    if faults:
        text = "; ".join(f"{fault['node']}: {fault['reason']}" for fault in faults)
    else:
        parts = (error.get("message"), error.get("details")) if isinstance(error, dict) else (error,)
        text = " ".join(str(part) for part in parts if part) or "it does not say why"
        text += NO_OUTPUTS if isinstance(error, dict) and error.get("type") == "prompt_no_outputs" else ""
    notes = list(graph.warnings)  # an image that is not there may have been sent under another name
    if any(str(fault.get("value")).lower().endswith(MODEL_SUFFIXES) for fault in faults):
        notes.append(f"{MODELS_PAGE} says how the endpoint's operator adds a model")
    text = "; ".join((_cut(text, 4 * SHOWN_CHARACTERS), *notes))
    text = _without_folders(_cut(text, 5 * SHOWN_CHARACTERS))
    return WorkflowRejected(f"ComfyUI rejected the workflow: {text}", nodes=faults)


def failure(message: Mapping[str, Any], graph: Graph) -> ExecutionFailed:
    """A node's exception, from ComfyUI's execution_error message."""
    if not message:
        return ExecutionFailed("the workflow failed, and ComfyUI does not say why; see its log")
    node_id, kind = str(message.get("node_id")), str(message.get("exception_type"))
    reason = _cut(_without_folders(str(message.get("exception_message")).strip()), SHOWN_CHARACTERS)
    details = {"node_id": node_id, "node_type": message.get("node_type"), "exception_type": kind}
    where = name_node(node_id, graph)
    if _is_out_of_memory(kind, reason):
        advice = f"{graph.smaller}; or use a GPU with more memory"
        return OutOfMemory(f"{where} ran out of GPU memory; {advice}", **details)
    if lacking := _LACKING.search(reason):
        reason += f" (the node got none of the values that it takes for {lacking[1]})"
    return ExecutionFailed(f"{where} failed: {kind}: {reason}", **details)


def read_traceback(message: Mapping[str, Any]) -> list[str]:
    """The lines of a node's traceback, for the log."""
    told = message.get("traceback")
    text = "".join(map(str, told)) if isinstance(told, list) else ""
    return text.splitlines()[-TRACEBACK_LINES:]


def size_of(log_file: Path | None) -> int:
    """The bytes of ComfyUI's log as it is now."""
    try:
        return log_file.stat().st_size if log_file else 0
    except OSError:
        return 0


def read_last_lines(path: Path, start: int = 0) -> list[str]:
    """The last lines of ComfyUI's log since it had `start` bytes, each cut and without folders; none without a file."""
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if size < start:  # a long log has lost its beginning: what remains of it is nobody's
                return []
            file.seek(max(size - TAIL, start))
            text = file.read(TAIL).decode("utf-8", "replace")
    except OSError as error:
        log.warning("ComfyUI's log %s cannot be read: %s", path, error.strerror)
        return []
    # A progress bar ends each of its states with \r; its last state stands for all.
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text).split("\n")]
    return [_without_folders(line)[:LINE_LENGTH] for line in lines if line.strip()][-LINES:]


def interruption(prompt_id: str) -> WorkerError:
    """The prompt was interrupted, and not by this worker."""
    return ExecutionFailed("the prompt was interrupted in ComfyUI by another client", prompt_id=prompt_id)


def name_node(node_id: str, graph: Graph) -> str:
    """How people know a node: its id, title and class."""
    title, kind = graph.title(node_id), graph.nodes.get(node_id, {}).get("class_type", "?")
    return f'node {node_id} "{title}"' + (f" ({kind})" if kind != title else "")


def _place(error: Any) -> dict[str, Any]:
    """An error about the whole prompt, under the node it is about: one of a class that is not installed, most often."""
    try:
        extra, named = error.get("extra_info") or {}, _NAMED.search(str(error.get("details")))
        node_id = extra.get("node_id") or (named[1] if named else None)
    except AttributeError:  # not as ComfyUI makes it
        return {}
    return {str(node_id): {"errors": [{**error, "details": ""}]}} if node_id else {}


def _is_out_of_memory(kind: str, reason: str) -> bool:
    # From ComfyUI 0.33 on a GPU's own error counts too: torch.AcceleratorError, "CUDA error: out of memory".
    name = kind.rpartition(".")[2]
    return name == "OutOfMemoryError" or (name == "AcceleratorError" and "out of memory" in reason.lower())


def _read_node_errors(node_errors: Any, graph: Graph) -> list[dict[str, Any]]:
    try:
        return [
            {"node_id": node_id, "node": name_node(node_id, graph), **fault}
            for node_id, report in (node_errors or {}).items()
            for fault in _describe(report["errors"])
        ]
    except (TypeError, ValueError, LookupError, AttributeError):  # not as ComfyUI makes it
        return []


def _describe(errors: list[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for error in errors:
        extra = error.get("extra_info", {})
        reason = _without_folders(f"{error['message']}: {error.get('details', '')}".rstrip(": "))
        if error["type"].startswith("exception"):  # its text is Python's, for who knows ComfyUI's code
            log.warning("ComfyUI's check failed: %s", _cut(reason, SHOWN_CHARACTERS))
            reason = (
                "ComfyUI cannot check this node: a value or link of its inputs, or of a node before it, does not fit"
            )
            reason += f": look at {extra['input_name']}" if extra.get("input_name") else ""
        allowed = _allowed(extra.get("input_config"))
        fault = {"input": extra.get("input_name"), "type": error["type"], "reason": _cut(reason, SHOWN_CHARACTERS)}
        if error["type"] == "value_not_in_list":
            fault["value"] = extra.get("received_value")
        if allowed:
            fault["allowed"] = allowed
            fault["reason"] += f" (allowed: {allowed}; got {_cut(repr(extra.get('received_value')), 60)})"
        yield fault


def _allowed(config: Any) -> str:
    """What an input takes, from its schema: `[type or list of options, {min, max, options, ...}]`."""
    if not isinstance(config, list) or not config:
        return ""
    limits = config[1] if len(config) > 1 and isinstance(config[1], dict) else {}
    options = config[0] if isinstance(config[0], list) else limits.get("options")
    if options is not None:
        shown = ", ".join(map(str, options[:SHOWN_OPTIONS])) or "nothing: no such file is installed"
        return shown + (f" and {len(options) - SHOWN_OPTIONS} more" if len(options) > SHOWN_OPTIONS else "")
    if "min" in limits and "max" in limits:
        return f"{limits['min']} to {limits['max']}"
    return ""


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _without_folders(text: str) -> str:
    """The text with absolute paths cut to their last part: where things lie here is nobody's business."""
    return re.sub(r"(?<![\w:/.])/(?:[^\s/'\":,;]+/)+", "…/", text)
