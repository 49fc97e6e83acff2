"""What the pages and the Hub's form say of the code, made from the code.

usage: python -m docs.generate [--check]    --check changes nothing, and ends with 1 where something is stale

On a page, what stands between `<!-- NAME: made by make docs -->` and `<!-- end -->` is replaced. In .runpod/hub.json,
each setting's type, default, limits, choices and description are; names, labels and order are the form's own.
"""

import argparse
import inspect
import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from worker import catalogue, config, errors, schemas
from worker.input import faults, names
from worker.input.request import RULES, Request

ROOT = Path(__file__).parents[1]
HUB = Path(".runpod/hub.json")
REGION = re.compile(r"(?P<start><!-- (?P<name>[^:\n]+): made by make docs -->\n).*?(?P<end><!-- end -->)", re.DOTALL)
BUILDER_LINE = re.compile(r'^: "\$\{(\w+):=(.*)\}" +# (.+) \| (.+)$', re.MULTILINE)

Row = Sequence[str]


def table(head: Row, rows: Iterable[Row]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def code(value: str) -> str:
    """A value as code; words such as `none` and `set by the platform` as they are."""
    return value if not value or " " in value else f"`{value}`"


# Settings


def setting_row(group: type[config.Declared], name: str) -> Row:
    """A declared setting: its variable, default, what it must be, and its effect."""
    field, unit = group.model_fields[name], config.facts_of(group, name)["unit"]
    default = code(config.show_default(group, name)) or "none"
    return [
        code(field.alias or name),
        default,
        f"{config.describe(group, name)} {unit}".strip(),
        field.description or "",
    ]


def builder_rows() -> dict[str, Row]:
    """The variables that only builder.sh reads, by name: those that say behind their default what they are."""
    lines = BUILDER_LINE.findall((ROOT / "builder.sh").read_text(encoding="utf-8"))
    return {name: [code(name), code(default) or "none", *words] for name, default, *words in lines}


def settings() -> dict[str, list[Row]]:
    """Every variable's row, by section."""
    sections = defaultdict(list)
    for group in (config.Shared, config.Settings, config.ModelSettings):
        for section, name in declared_in(group):
            sections[section].append(setting_row(group, name))
    for variable, file in catalogue.MODEL_URLS.items():
        sections["Models"].append([code(variable), "none", config.HTTP["allowed"], f"replaces the URL of `{file}`"])
    for variable, row in builder_rows().items():
        sections["ComfyUI" if variable.startswith("COMFYUI") else "The container and its log"].append(row)
    return sections


def declared_in(group: type[config.Declared]) -> Iterator[tuple[str, str]]:
    """The group's own settings, each with its section: the comment above the first of them."""
    section = ""
    for title, name in re.findall(
        r"^    (?:# (\w.*)|(\w+): .* = setting\(.*)$", inspect.getsource(group), re.MULTILINE
    ):
        section = title or section
        if name:
            yield section, name


def settings_table(section: str) -> str:
    """The table of a section of CONFIGURATION.md."""
    return table(["variable", "default", "allowed", "effect"], settings()[section])


# Input and answer


def input_default(schema: dict[str, Any]) -> str:
    """A field's default in words."""
    value = schema.get("default", "random")
    if value in (None, []):
        return "none"
    return "empty" if value == "" else f"{value:g}" if isinstance(value, float) else str(value)


def input_table() -> str:
    """The fields of a job's input."""
    properties = Request.model_json_schema()["properties"]
    properties["num_frames"]["maximum"] = config.read({}).max_frames
    rows = [
        [code(name), input_default(schema), RULES.get(name) or faults.rule(schema), schema.get("description", "")]
        for name, schema in properties.items()
    ]
    return table(["field", "default", "must be", "meaning"], rows)


def names_table() -> str:
    """The names of other clients that mean what one field means."""
    own: defaultdict[str, list[str]] = defaultdict(list)
    for name, field in names.SAME.items():
        own[field].append(code(name))
    return table(["also accepted", "becomes"], [[", ".join(others), code(field)] for field, others in own.items()])


def model_table(model: type[BaseModel]) -> str:
    """The fields of a part of the answer."""
    rows = [[code(name), field.description or ""] for name, field in model.model_fields.items()]
    return table(["field", "meaning"], rows)


def error_classes() -> list[type[errors.WorkerError]]:
    """The errors that can reach a caller, in the order of their declaration."""
    return [each for each in vars(errors).values() if isinstance(each, type) and hasattr(each, "remedy")]


def error_table() -> str:
    """The codes: cause, remedy and details."""
    rows = [[code(each.code), sentence(each.__doc__ or ""), each.remedy, each.detail] for each in error_classes()]
    return table(["code", "cause", "remedy", "details"], rows)


def sentence(text: str) -> str:
    """A docstring's first line as a cell."""
    return text.splitlines()[0].removesuffix(".")


REGIONS: dict[str, Callable[[], str]] = {
    "input": input_table,
    "names": names_table,
    "answer": lambda: model_table(schemas.Answer),
    "file": lambda: model_table(schemas.File),
    "progress": lambda: model_table(schemas.Progress),
    "failure": lambda: model_table(schemas.Failure),
    "errors": error_table,
}


def render_region(match: "re.Match[str]") -> str:
    """A region with its table made anew."""
    name = match["name"]
    made = REGIONS[name]() if name in REGIONS else settings_table(name.removeprefix("settings, "))
    return f"{match['start']}{made}{match['end']}"


# The Hub's form


def plain(text: str) -> str:
    """Text less its Markdown, as a sentence: the form shows it as it is."""
    words = re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", text).replace("`", "")
    return f"{words[:1].upper()}{words[1:]}."


def hub_facts(group: type[config.Declared], name: str) -> dict[str, Any]:
    """What the form needs to know of a declared setting."""
    schema = group.model_json_schema(by_alias=False)["properties"][name]
    field, default = group.model_fields[name], config.show_default(group, name)
    facts = {"description": plain(field.description or "")}
    if "minimum" in schema:
        limits = {"min": schema["minimum"], "max": schema["maximum"]}
        return {"type": "number", **facts, **limits, "default": json.loads(default)}
    return {"type": "string", **facts, "default": default}


def hub_options(group: type[config.Declared], name: str, shown: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """The form's choices, with the labels they have; of a list the combinations stay as they are shown."""
    if isinstance(group.model_fields[name].default, tuple):
        return list(shown)
    labels = {option["value"]: option["label"] for option in shown}
    return [{"label": labels.get(value, value), "value": value} for value in config.facts_of(group, name)["choices"]]


def render_hub(text: str) -> str:
    """The form with each setting's facts made anew; a variable of builder.sh has a default of the form's own."""
    form, of_builder = json.loads(text), builder_rows()
    groups = (config.Settings, config.ModelSettings)
    declared = {field.alias: (group, name) for group in groups for name, field in group.model_fields.items()}
    for entry in form["config"]["env"]:
        key, shown = entry["key"], entry["input"]
        if key in of_builder:
            shown["description"] = plain(of_builder[key][-1])
            continue
        shown.update(hub_facts(*declared[key]))
        if options := hub_options(*declared[key], shown.get("options", [])):
            shown["options"] = options
    return json.dumps(form, indent=2) + "\n"


def render(path: Path) -> str:
    """What the file should hold."""
    text = (ROOT / path).read_text(encoding="utf-8")
    return render_hub(text) if path == HUB else REGION.sub(render_region, text)


def main() -> int:
    """Write what is stale, or only name it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing, and end with 1 where something is stale")
    check, stale = parser.parse_args().check, False
    for path in (HUB, *pages()):
        text = render(path)
        if text == (ROOT / path).read_text(encoding="utf-8"):
            continue
        stale = True
        print(f"{path} is stale: run make docs" if check else path)
        if not check:
            (ROOT / path).write_text(text, encoding="utf-8")
    return 1 if check and stale else 0


def pages() -> list[Path]:
    """The pages that have regions."""
    return sorted(path.relative_to(ROOT) for path in ROOT.glob("docs/*.md"))


if __name__ == "__main__":
    sys.exit(main())
