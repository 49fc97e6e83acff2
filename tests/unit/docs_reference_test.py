"""The pages' tables of fields, errors, rooms and settings, against the code: both ways."""

import json
import re
from typing import Any

import pytest

from tests.pages import ROOT, codes, read, rows, tables
from tests.unit.architecture_test import ORDER
from worker import config, errors
from worker.errors import ConfigError, InvalidInput
from worker.input.request import RULES, Request, parse
from worker.schemas import Answer, File, Progress, Used

SETTINGS = config.read({})
KINDS = {"string": "text", "integer": "whole number", "number": "number", "object": "object", "array": "list"}


# Said by the SDK or by CUDA.
OTHERS_WORDS = ("Fitness check failed", "no kernel image")


def said() -> str:
    """Everything that the programs can say: their sources, with texts of several lines as one."""
    places = ("handler.py", "builder.sh", "worker/**/*.py", "client/*.py", "local/**/*.py")
    text = "\n".join(path.read_text(encoding="utf-8") for place in places for path in sorted(ROOT.glob(place)))
    return re.sub(r'"\s*\n\s*f?"', "", text)


def symptoms() -> list[str]:
    found = [code for row in rows("docs/TROUBLESHOOTING.md", "symptom") for code in codes(row[0])]
    return [code for code in found if " " in code and not code.startswith(OTHERS_WORDS)]


@pytest.mark.parametrize("symptom", symptoms())
def test_a_symptom_is_what_the_programs_say(symptom: str) -> None:
    pieces = re.sub(r"^(\w+: )?(error: )?", "", symptom).split("...")
    assert [piece for piece in pieces if piece.strip() not in said()] == []


def allowed(name: str, schema: dict[str, Any]) -> str:
    if name in RULES:
        return RULES[name]
    schema = {**schema, **schema.get("anyOf", [{}])[0]}
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return ", ".join(schema["enum"])
    high = schema.get("maximum", SETTINGS.max_frames)
    step = f"multiples of {schema['multipleOf']}, " if "multipleOf" in schema else ""
    return f"{step}{schema['minimum']} to {high}"


def default(name: str, schema: dict[str, Any]) -> str:
    if name in ("image", "prompt"):
        return "required"
    value = schema.get("default", "random")
    if value in (None, [], ""):
        return "empty" if value == "" else "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def test_every_input_field_has_its_type_default_and_limits() -> None:
    schemas = Request.model_json_schema()["properties"]
    expected = {
        name: [KINDS[{**schema, **schema.get("anyOf", [{}])[0]}["type"]], default(name, schema), allowed(name, schema)]
        for name, schema in schemas.items()
    }
    listed = {codes(row[0])[0]: row[1:4] for row in rows("docs/API.md", "field") if len(row) == 5}
    assert listed == expected


@pytest.mark.parametrize(("given", "message"), [tuple(row) for row in rows("docs/API.md", "input")])
def test_a_bad_input_gets_the_error_that_the_page_shows(given: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(json.loads(given.strip("`")), SETTINGS)
    assert caught.value.message == message.strip("`")


def test_every_error_code_is_listed_and_no_other() -> None:
    classes = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    listed = [code for row in rows("docs/API.md", "code") for code in codes(row[0])]
    assert sorted(listed) == sorted({kind.code for kind in classes})


def test_answer_files_and_progress_have_the_fields_that_the_page_lists() -> None:
    shown = [{name for row in table for name in codes(row[0])} for table in tables("docs/API.md", "field")]
    assert shown[1:] == [set(model.model_fields) for model in (Answer, File, Progress)]
    (settings_row,) = [row for table in tables("docs/API.md", "field") for row in table if row[0] == "`settings`"]
    assert set(codes(settings_row[1])) == set(Used.model_fields)


def test_the_rooms_are_those_of_the_import_order() -> None:
    assert [codes(row[1]) for row in rows("docs/ARCHITECTURE.md", "level")] == ORDER
    assert [codes(row[0])[0] for row in rows("docs/ARCHITECTURE.md", "room")] == [
        room for level in ORDER for room in level
    ]


class Recorded(dict[str, str]):
    """An environment that remembers which names it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.asked.add(name)
        return super().get(name, default)


def load(environ: dict[str, str]) -> tuple[object, object]:
    return config.read(environ), config.read_models(environ)


def settings() -> dict[str, list[str]]:
    return {codes(row[0])[0]: row[1:] for row in rows("docs/CONFIGURATION.md", "variable")}


def in_builder() -> dict[str, str]:
    """Every variable that builder.sh takes from outside, and the default of those that it gives a plain one."""
    text = read("builder.sh")
    names = dict.fromkeys(re.findall(r"\$\{([A-Z][A-Z0-9_]+):[-=]", text), "")
    return names | dict(re.findall(r'^: "\$\{(\w+):=(.*)\}"$', text, re.MULTILINE))


def test_every_setting_is_listed_and_no_other() -> None:
    recorded = Recorded()
    load(recorded)
    assert set(settings()) == recorded.asked | set(in_builder())


@pytest.mark.parametrize("name", settings())
def test_a_settings_default_and_limits_are_the_codes(name: str) -> None:
    default, limits = settings()[name][:2]
    if re.fullmatch("`[^`]+`", default):
        value, of_builder = default.strip("`"), in_builder().get(name, "")
        assert load({name: value}) == load({})
        assert value == of_builder or "$((" in of_builder or not of_builder
    if span := re.match(r"([\d.]+) to ([\d.]+)", limits):
        low, high = span.groups()
        load({name: low})
        load({name: high})
        for beyond in (float(low) - 1, float(high) + 1):
            with pytest.raises(ConfigError, match=name):
                load({name: str(beyond)})


def test_the_build_arguments_are_the_dockerfiles() -> None:
    listed = {codes(row[0])[0] for row in rows("docs/CONFIGURATION.md", "build argument")}
    assert listed == set(re.findall(r"^ARG (\w+)", read("Dockerfile"), re.MULTILINE))
