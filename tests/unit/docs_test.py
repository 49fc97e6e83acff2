"""README.md and docs/: what they state of the code is so, and what they name exists."""

import functools
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.architecture_test import ORDER
from worker import config, errors
from worker.comfyui import Event
from worker.errors import ConfigError, InvalidInput
from worker.progress import Progress
from worker.request import RULES, Request, parse
from worker.workflow import Graph

ROOT = Path(__file__).parents[2]
PAGES = sorted(path.relative_to(ROOT) for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
SETTINGS = config.load({})
# Named on the pages, and somebody else's or made by a run.
FOREIGN = {"main.py", "requirements.txt", "test_input.json", "clip.mjs", "answer.json"}


def read(name: str | Path) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def rows(page: str, header: str) -> list[list[str]]:
    """The cells of every table whose first column is titled `header`."""
    found = []
    for table in re.findall(r"(?:^\|.*\n)+", read(page), re.MULTILINE):
        first, _, *others = (re.split(r"(?<!\\)\|", line)[1:-1] for line in table.splitlines())
        if first[0].strip() == header:
            found += [[cell.strip() for cell in cells] for cells in others]
    return found


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def blocks(language: str) -> list[tuple[str, str]]:
    pattern = re.compile(rf"^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return [(str(page), block) for page in PAGES for block in pattern.findall(read(page))]


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def allowed(name: str, schema: dict[str, Any]) -> str:
    if name in RULES:
        return RULES[name]
    schema = {**schema, **schema.get("anyOf", [{}])[0]}
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


KINDS = {"string": "text", "integer": "whole number", "number": "number", "object": "object", "array": "list"}


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


def test_the_progress_has_the_fields_that_the_page_lists() -> None:
    clock = iter([0.0, 1.0])
    progress = Progress(Graph({"1": {"class_type": "KSampler", "inputs": {}}}), lambda: next(clock))
    progress.update(Event("step", "1", 1, 9))
    told = progress.update(Event("step", "1", 2, 9))
    listed = {name for row in rows("docs/API.md", "field") if len(row) == 2 for name in codes(row[0])}
    assert told is not None
    assert set(told) <= listed


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
    return config.load(environ), config.load_models(environ)


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


def links() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        text = re.sub(r"^```.*?^```", "", read(page), flags=re.MULTILINE | re.DOTALL)
        yield from ((str(page), target) for target in re.findall(r"\]\(([^)\s]+)\)", text))


@pytest.mark.parametrize(("page", "target"), sorted({link for link in links() if "://" not in link[1]}))
def test_a_link_leads_somewhere(page: str, target: str) -> None:
    path, _, anchor = target.partition("#")
    file = (ROOT / page).parent / path if path else ROOT / page
    assert file.exists()
    if anchor:
        headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
        assert anchor in {slug(heading) for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_a_page_names_only_files_that_exist_and_has_no_more_lines_than_one_reads(page: Path) -> None:
    names = set(re.findall(r"`(\.?[\w./-]+\.(?:py|sh|md|toml|hcl|yml|yaml|in|json|mjs|txt))`", read(page)))
    tracked = {name for name in names - FOREIGN if not list(ROOT.glob(name))}
    assert tracked == set()
    assert len(read(page).splitlines()) <= 210


def jobs() -> list[tuple[str, Any]]:
    return [(page, json.loads(block)) for page, block in blocks("json")]


def test_every_json_block_is_json_and_every_job_in_one_is_accepted() -> None:
    inputs = [block["input"] for _, block in jobs() if isinstance(block, dict) and "input" in block]
    assert [parse(job_input, SETTINGS) for job_input in inputs]


@functools.cache
def help_of(command: tuple[str, ...]) -> str:
    done = subprocess.run([*command, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def commands() -> list[tuple[str, list[str]]]:
    """Every command of every ```sh and ```bash block, here-documents left out, as (page, words)."""
    found = []
    for page, block in [*blocks("sh"), *blocks("bash")]:
        text = re.sub(r"<<EOF\n.*?^EOF$", "", block, flags=re.MULTILINE | re.DOTALL).replace("\\\n", " ")
        for line in text.splitlines():
            words = shlex.split(line, comments=True)
            while words and re.match(r"\w+=", words[0]):
                words = words[1:]
            found += [(page, words)] if words else []
    return found


@pytest.mark.parametrize(("page", "words"), commands())
def test_a_command_names_targets_programs_and_options_that_exist(page: str, words: list[str]) -> None:
    program, *arguments = words
    if program == "make":
        assert {word for word in arguments if "=" not in word} <= targets()
    elif program == "python" or "/" in program:
        own = [sys.executable] if program == "python" else [program]
        taken = {"python": 2 if arguments[:1] == ["-m"] else 1}.get(program, 0)
        command, rest = own + arguments[:taken], arguments[taken:]
        rest = rest[: rest.index("--")] if "--" in rest else rest
        assert command[1:2] == ["-m"] or (ROOT / command[-1]).is_file()
        modes = rest[:1] if rest and re.fullmatch("[a-z]+", rest[0]) else []
        options = [word.partition("=")[0] for word in rest if word.startswith("--")]
        if (program == "python" and modes + options) or "--help)" in read(command[-1]):
            assert [word for word in modes + options if word not in help_of(tuple(command))] == []
    else:
        assert program in {"curl", "docker", "git", "cd", "export", "source", "pytest"}, f"{page}: {program}"


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):.* ## ", read("Makefile"), re.MULTILINE))


def test_every_make_target_is_listed_and_no_other() -> None:
    assert {codes(row[0])[0].removeprefix("make ") for row in rows("docs/DEVELOPMENT.md", "command")} == targets()
