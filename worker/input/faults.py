"""What is wrong with a job's input, in words: the field, what it must be, and what it is."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from worker.errors import InvalidInput

MAX_FAULTS = 50
MAX_SHOWN = 60
KINDS = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    dict: "an object",
    list: "a list",
}


def invalid_input(faults: Mapping[str, str]) -> InvalidInput:
    """All faults, by field, as one error."""
    return InvalidInput("; ".join(f"{field}: {fault}" for field, fault in faults.items()), fields=dict(faults))


def of_fields(error: ValidationError, schemas: Mapping[str, Any], rules: Mapping[str, str]) -> dict[str, str]:
    """Pydantic's faults by field.

    schemas: the known fields' JSON schemas, for what a number or a choice must be.
    rules: what a field must be whose value is never repeated; nested ones as `images.name`.
    """
    errors = error.errors()
    faults: dict[str, str] = {}
    for item in errors[:MAX_FAULTS]:
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in item["loc"])
        name = ".".join(part for part in item["loc"] if isinstance(part, str))
        faults[cut(path.removeprefix(".") or "input")] = _fault(item["type"], name, item["input"], schemas, rules)
    if len(errors) > MAX_FAULTS:
        faults["input"] = f"has {len(errors) - MAX_FAULTS} more errors"
    return faults


def _fault(error: str, name: str, value: object, schemas: Mapping[str, Any], rules: Mapping[str, str]) -> str:
    if error == "missing":
        return "is required"
    if error == "string_unicode":
        return "is not valid Unicode text: it has half of a surrogate pair, as cutting a text in JavaScript leaves"
    if error == "extra_forbidden":
        return "unknown field"
    if error == "model_type" or name in rules:
        return f"must be {'an object' if error == 'model_type' else rules[name]}, got {kind(value)}"
    if name not in schemas:
        return "names of fields must be text"
    return f"must be {rule(schemas[name], value)}, got {show(value)}"


def rule(schema: Mapping[str, Any], value: object = None) -> str:
    """What a number or a choice must be, by its JSON schema; for a number off its step, also the nearest right ones."""
    schema = {**schema, **schema.get("anyOf", [{}])[0]}
    if "const" in schema:
        return f"{schema['const']} or omitted"
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    low, high, step = schema["minimum"], schema["maximum"], schema.get("multipleOf")
    if not step:
        return f"{'a whole number' if schema['type'] == 'integer' else 'a number'} from {low} to {high}"
    nearest = ""
    if isinstance(value, int) and low <= value <= high:
        nearest = f" (nearest: {value // step * step} or {value // step * step + step})"
    return f"a multiple of {step} from {low} to {high}{nearest}"


def kind(value: object) -> str:
    """What sort of value this is, without telling it."""
    if isinstance(value, str):
        return f"text of {len(value)} characters"
    return KINDS.get(type(value), "a value of another type")


def show(value: object) -> str:
    """A short value itself, a long text's beginning, otherwise its kind; always short and printable."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"'{cut(value)}'"
    if isinstance(value, float) or (isinstance(value, int) and value.bit_length() <= 64):
        return str(value)
    return "a huge number" if isinstance(value, int) else kind(value)


def cut(text: str) -> str:
    """The text's beginning, as a log line and an encoder can take it."""
    printable = repr(text[:MAX_SHOWN])[1:-1]
    return printable if len(text) <= MAX_SHOWN else printable[: MAX_SHOWN - 3] + "..."
