"""Whether ComfyUI would take a graph, and if not, what it says; coerces the graph's values in place.

The words and the shapes are the protocol's: clients read them.
"""

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from local.engine.schemas import JSON, RELEASE, Input, Schemas, not_played

_LONGEST_LIST = 20
_CONVERSIONS: dict[str, Callable[[Any], Any]] = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}


@dataclass(frozen=True)
class Verdict:
    """`error` is None when at least one output node can run; `outputs` are those."""

    error: JSON | None
    outputs: list[str] = field(default_factory=list)
    node_errors: JSON = field(default_factory=dict)


@dataclass
class _Finding:
    valid: bool
    errors: list[JSON]


class _InputFault(Exception):
    def __init__(self, kind: str, message: str, details: str, entry: Input, **extra: Any) -> None:
        super().__init__(message)
        self.error = fault(kind, message, details, input_name=entry.name, **extra)


def fault(kind: str, message: str, details: str, **extra: Any) -> JSON:
    """An error as the protocol writes it."""
    return {"type": kind, "message": message, "details": details, "extra_info": extra}


def validate(graph: Any, schemas: Schemas, file_exists: Callable[[str], bool]) -> Verdict:
    """Judge a graph; a `graph` that is no graph at all raises whatever it raises, and ComfyUI answers 500."""
    _look_for_old_classes(graph)
    outputs = []
    for node_id in graph:
        error = _class_error(node_id, graph[node_id], schemas)
        if error:
            return Verdict(error)
        if schemas.is_output(graph[node_id]["class_type"]):
            outputs.append(node_id)
    if not outputs:
        return Verdict(fault("prompt_no_outputs", "Prompt has no outputs", ""))
    return _judge_outputs(outputs, graph, _Inspector(graph, schemas, file_exists))


def _look_for_old_classes(graph: Any) -> None:
    """ComfyUI renames what it once named otherwise, before it looks at anything: odd shapes fail here."""
    for node in graph.values():
        if "class_type" in node and "inputs" in node:
            hash(node["class_type"])
            node["inputs"].items()


def _class_error(node_id: str, node: Any, schemas: Schemas) -> JSON | None:
    class_type = node.get("class_type")
    if "class_type" in node and class_type in schemas:
        return None
    title = node.get("_meta", {}).get("title")
    extra = {"node_id": node_id, "class_type": class_type, "node_title": title}
    if "class_type" not in node:
        problem = "has no class_type. The workflow may be corrupted or a custom node is missing."
        message = f"Node '{title or f'ID #{node_id}'}' {problem}"
    else:
        extra["node_title"] = title = title or class_type
        message = f"Node '{title}' not found. The custom node may not be installed."
        if class_type in not_played():
            message = f"The preview engine does not play {class_type}; the ComfyUI {RELEASE} it stands in for has it"
    return fault("missing_node_type", message, f"Node ID '#{node_id}'", **extra)


def _judge_outputs(outputs: list[str], graph: JSON, inspector: "_Inspector") -> Verdict:
    good, reasons = [], []
    node_errors: JSON = {}
    for output in outputs:
        finding = inspector.inspect_output(output)
        if finding.valid:
            good.append(output)
            continue
        reasons += finding.errors
        for node_id, upstream in inspector.findings.items():
            if upstream.errors:
                entry = {"errors": upstream.errors, "dependent_outputs": [], "class_type": graph[node_id]["class_type"]}
                node_errors.setdefault(node_id, entry)["dependent_outputs"].append(output)
    if good:
        return Verdict(None, good, node_errors)
    details = "\n".join(f"{reason['message']}: {reason['details']}" for reason in reasons)
    message = "Prompt outputs failed validation"
    return Verdict(fault("prompt_outputs_failed_validation", message, details), [], node_errors)


class _Inspector:
    """Inspects nodes from an output upwards, each once."""

    def __init__(self, graph: JSON, schemas: Schemas, file_exists: Callable[[str], bool]) -> None:
        self.findings: dict[str, _Finding] = {}
        self._graph = graph
        self._schemas = schemas
        self._file_exists = file_exists
        self._open: list[str] = []

    def inspect_output(self, node_id: str) -> _Finding:
        """What is wrong with an output node, or with what it depends on."""
        try:
            self._inspect(node_id)
        except Exception as error:
            details = {"exception_type": type(error).__name__, "traceback": traceback.format_tb(error.__traceback__)}
            reason = fault("exception_during_validation", "Exception when validating node", str(error), **details)
            self.findings[node_id] = _Finding(valid=False, errors=[reason])
        return self.findings[node_id]

    def _inspect(self, node_id: str) -> bool:
        if node_id in self.findings:
            return self.findings[node_id].valid
        if node_id in self._open:
            self._note_cycle([*self._open[self._open.index(node_id) :], node_id])
            return False
        self._open.append(node_id)
        try:
            finding = self._inspect_inputs(self._graph[node_id])
        finally:
            self._open.pop()
        if node_id in self.findings:  # it stands in a cycle
            finding = _Finding(valid=False, errors=[*self.findings[node_id].errors, *finding.errors])
        self.findings[node_id] = finding
        return finding.valid

    def _note_cycle(self, path: list[str]) -> None:
        shown = " -> ".join(f"{node_id} ({self._graph[node_id]['class_type']})" for node_id in path)
        nodes = list(dict.fromkeys(path))
        for node_id in nodes:
            extra = {"node_id": node_id, "cycle_nodes": nodes}
            error = fault("dependency_cycle", "Dependency cycle detected", shown, **extra)
            self.findings[node_id] = _Finding(valid=False, errors=[error])

    def _inspect_inputs(self, node: JSON) -> _Finding:
        inputs = node["inputs"]
        finding = _Finding(valid=True, errors=[])
        for entry in self._schemas.inputs(node["class_type"], inputs):
            try:
                upstream_valid = self._inspect_input(entry, inputs)
            except _InputFault as error:
                finding.errors.append(error.error)
                upstream_valid = False
            finding.valid = finding.valid and upstream_valid
        return finding

    def _inspect_input(self, entry: Input, inputs: JSON) -> bool:
        """Check one input; False when what it links to is invalid, _InputFault when it is wrong itself."""
        if entry.name not in inputs:
            if entry.required:
                last = entry.name.rpartition(".")[2]
                raise _InputFault("required_input_missing", "Required input is missing", last, entry)
            return True
        value = inputs[entry.name]
        if isinstance(value, list):
            return self._inspect_link(entry, value)
        inputs[entry.name] = value = _convert(entry, value)
        if entry.upload:
            self._check_file(entry, value)
        else:
            _check_range(entry, value)
            self._check_choice(entry, value)
        return True

    def _inspect_link(self, entry: Input, link: list[Any]) -> bool:
        if len(link) != 2:
            message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
            raise _InputFault(
                "bad_linked_input", message, entry.name, entry, input_config=entry.config, received_value=link
            )
        received = self._schemas.outputs(self._graph[link[0]]["class_type"])[link[1]]
        if received != entry.type_name and not {"*"} & {received, entry.type_name}:
            details = f"{entry.name}, received_type({received}) mismatch input_type({entry.type_name})"
            extra = {"input_config": entry.config, "received_type": received, "linked_node": link}
            message = "Return type mismatch between linked nodes"
            raise _InputFault("return_type_mismatch", message, details, entry, **extra)
        try:
            return self._inspect(link[0])
        except Exception as error:
            self.findings[link[0]] = _Finding(valid=False, errors=[_inner_exception(entry, link, error)])
            return False

    def _check_file(self, entry: Input, name: Any) -> None:
        if not self._file_exists(name):
            kind = "video" if "video_upload" in entry.options else "image"
            details = f"{entry.name} - Invalid {kind} file: {name}"
            raise _InputFault("custom_validation_failed", "Custom validation failed for node", details, entry)

    def _check_choice(self, entry: Input, value: Any) -> None:
        choices = entry.choices
        if choices is None or value in choices:
            return
        if entry.takes_model(value) and value not in self._schemas.missing_models:
            return
        long = len(choices) > _LONGEST_LIST
        shown = f"(list of length {len(choices)})" if long else str(choices)
        extra = {"input_config": None if long else entry.config, "received_value": value}
        details = f"{entry.name}: {value!r} not in {shown}"
        raise _InputFault("value_not_in_list", "Value not in list", details, entry, **extra)


def _inner_exception(entry: Input, link: list[Any], error: Exception) -> JSON:
    return fault(
        "exception_during_inner_validation",
        "Exception when validating inner node",
        str(error),
        input_name=entry.name,
        input_config=entry.config,
        exception_message=str(error),
        exception_type=type(error).__name__,
        traceback=traceback.format_tb(error.__traceback__),
        linked_node=link,
    )


def _convert(entry: Input, value: Any) -> Any:
    if isinstance(value, dict) and "__value__" in value:
        value = value["__value__"]
    convert = _CONVERSIONS.get(entry.type_name, lambda same: same)
    try:
        return convert(value)
    except Exception as error:
        message = f"Failed to convert an input value to a {entry.type_name} value"
        extra = {"input_config": entry.config, "received_value": value, "exception_message": str(error)}
        details = f"{entry.name}, {value}, {error}"
        raise _InputFault("invalid_input_type", message, details, entry, **extra) from error


def _check_range(entry: Input, value: Any) -> None:
    extra = {"input_config": entry.config, "received_value": value}
    low, high = entry.options.get("min"), entry.options.get("max")
    if low is not None and value < low:
        message = f"Value {value} smaller than min of {low}"
        raise _InputFault("value_smaller_than_min", message, entry.name, entry, **extra)
    if high is not None and value > high:
        message = f"Value {value} bigger than max of {high}"
        raise _InputFault("value_bigger_than_max", message, entry.name, entry, **extra)
