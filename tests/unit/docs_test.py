"""README.md and docs/: what they link to, name and tell to type exists, and their JSON is what they say."""

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

from tests.pages import PAGES, ROOT, blocks, read
from worker import config
from worker.comfyui import classes
from worker.input.request import parse

# Named on the pages, and somebody else's or made by a run.
FOREIGN = {"main.py", "install.py", "models.toml", "requirements.txt", "test_input.json", "clip.mjs", "answer.json"}


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def links() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        text = re.sub(r"^```.*?^```", "", read(page), flags=re.MULTILINE | re.DOTALL)
        yield from ((str(page), target) for target in re.findall(r"\]\(([^)\s]+)\)", text))


@pytest.mark.parametrize(
    ("page", "target"), sorted({*(link for link in links() if "://" not in link[1]), ("README.md", classes.PAGE)})
)
def test_a_link_leads_somewhere(page: str, target: str) -> None:
    path, _, anchor = target.partition("#")
    file = (ROOT / page).parent / path if path else ROOT / page
    assert file.exists()
    if anchor:
        headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
        assert anchor in {slug(heading) for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_a_page_names_only_files_that_exist(page: Path) -> None:
    names = set(re.findall(r"`(\.?[\w./-]+\.(?:py|sh|md|toml|hcl|yml|yaml|in|json|mjs|txt))`", read(page)))
    assert {name for name in names - FOREIGN if not list(ROOT.glob(name))} == set()


def jobs() -> list[tuple[str, Any]]:
    return [(page, json.loads(block)) for page, block in blocks("json")]


def test_every_json_block_is_json_and_every_job_in_one_is_accepted() -> None:
    inputs = [block["input"] for _, block in jobs() if isinstance(block, dict) and "input" in block]
    assert [parse(job_input, config.read({})) for job_input in inputs]


@functools.cache
def help_of(command: tuple[str, ...]) -> str:
    done = subprocess.run([*command, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def commands() -> list[tuple[str, list[str]]]:
    """Every command of the ```sh and ```bash blocks and in running text, as (page, words); no here-documents."""
    lines = [
        (page, line)
        for page, block in [*blocks("sh"), *blocks("bash")]
        for line in re.sub(r"<<EOF\n.*?^EOF$|\\\n", " ", block, flags=re.MULTILINE | re.DOTALL).splitlines()
    ]
    lines += [
        (str(page), code)
        for page in PAGES
        for code in re.findall(r"`((?:[A-Z_]+=\S+ )*(?:make|python) [^`]+)`", read(page))
    ]
    found = []
    for page, line in lines:
        words = [word for word in shlex.split(line, comments=True) if word != "-u"]
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
        takes_help = command[1:2] != ["-m"] and "--help)" in read(command[-1])
        if (program == "python" and modes + options) or takes_help:
            assert [word for word in modes + options if word not in help_of(tuple(command))] == []
    else:
        assert program in {"curl", "docker", "git", "cd", "export", "source", "pytest"}, f"{page}: {program}"


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):.* ## ", read("Makefile"), re.MULTILINE))
