""".github/workflows: they call what exists here, with actions pinned and rights that are given one by one."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def read(path: Path) -> dict[str, Any]:
    # YAML reads the key `on` as true.
    return {str(key): value for key, value in yaml.safe_load(path.read_text()).items()}


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in read(path)["jobs"].values() for step in job["steps"]]


def matrix(name: str, key: str) -> list[str]:
    (job,) = read(ROOT / ".github" / "workflows" / name)["jobs"].values()
    values: list[str] = job["strategy"]["matrix"][key]
    return values


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_and_rights_are_named(path: Path) -> None:
    used = [step["uses"] for step in steps(path) if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@(v\d+|[0-9a-f]{40})", action) for action in used)
    assert isinstance(read(path)["permissions"], dict)
    assert all("timeout-minutes" in job for job in read(path)["jobs"].values())


def test_the_checks_are_those_of_make_on_the_oldest_python() -> None:
    assert "make check" in [step.get("run") for step in steps(ROOT / ".github" / "workflows" / "check.yml")]
    oldest = re.findall(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert matrix("check.yml", "python")[:1] == oldest


def test_every_image_of_the_bake_file_is_published_from_a_tag() -> None:
    bake = (ROOT / "docker-bake.hcl").read_text()
    (names,) = re.findall(r'group "all" \{\s*targets = \[(.*?)\]', bake)
    assert matrix("publish.yml", "target") == re.findall(r'"(\w+)"', names)
    assert read(ROOT / ".github" / "workflows" / "publish.yml")["True"] == {"push": {"tags": ["v*"]}}
    script = "".join(step.get("run", "") for step in steps(ROOT / ".github" / "workflows" / "publish.yml"))
    exported = set(re.findall(r"(\w+)=\"", script))
    assert exported == set(re.findall(r'variable "(\w+)"', bake))
