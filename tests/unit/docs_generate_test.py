"""docs/generate.py: what is stale is named by --check and made anew without it; the rest of a file stays."""

import json
import shutil
from pathlib import Path

import pytest

from docs import generate


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that are generated, and those they are made from, in a folder of the test's own."""
    for path in (generate.HUB, Path("builder.sh"), *generate.pages()):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        shutil.copy(generate.ROOT / path, tmp_path / path)
    monkeypatch.setattr(generate, "ROOT", tmp_path)
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["generate", *arguments])
    return generate.main()


@pytest.mark.parametrize(
    ("path", "fact"),
    [
        ("docs/CONFIGURATION.md", "| `MAX_FRAMES` | `129` |"),
        ("docs/CONFIGURATION.md", "| `COMFYUI_PORT` | `8188` |"),
        ("docs/API.md", "| `fps` | 24 |"),
        ("docs/API.md", "| `out_of_memory` |"),
        (".runpod/hub.json", '"default": "balanced"'),
    ],
)
def test_a_stale_fact_is_named_and_made_anew(
    copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], path: str, fact: str
) -> None:
    text = (copy / path).read_text()
    (copy / path).write_text(text.replace(fact, f"{fact[:-2]}~{fact[-2:]}"))
    assert run(monkeypatch, "--check") == 1
    assert capsys.readouterr().out == f"{path} is stale: run make docs\n"
    assert run(monkeypatch) == 0
    assert (copy / path).read_text() == text
    assert run(monkeypatch, "--check") == 0


def test_names_labels_and_the_platforms_own_default_are_the_forms(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    form = json.loads((copy / generate.HUB).read_text())
    entries = {entry["key"]: entry["input"] for entry in form["config"]["env"]}
    entries["DEFAULT_PRESET"]["options"][0]["label"] = "Even"
    entries["RUNPOD_INIT_TIMEOUT"]["default"] = 1000
    text = json.dumps(form, indent=2) + "\n"
    (copy / generate.HUB).write_text(text)
    assert run(monkeypatch) == 0
    assert (copy / generate.HUB).read_text() == text
