"""ComfyUI's extra model paths: which folders of a volume it is told of, and for which kinds of models."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from worker.models import paths
from worker.models.paths import extra_paths, read_kinds

KINDS = {"loras": {"loras"}, "text_encoders": {"text_encoders", "clip"}}


def told(root: Path, **more: str) -> dict[str, str]:
    return {"base_path": str(root), "loras": "loras", "text_encoders": "clip\ntext_encoders", **more}


def test_every_models_folder_of_the_volume_is_named_and_the_one_for_downloads_always(tmp_path: Path) -> None:
    (tmp_path / "ComfyUI/models/loras").mkdir(parents=True)
    (tmp_path / "ComfyUI/models/a_node_packs_own").mkdir()
    (tmp_path / "ComfyUI/models/clip").mkdir()
    (tmp_path / "ComfyUI/models/a_file").touch()
    roots = [tmp_path / "models", tmp_path, tmp_path / "ComfyUI/models"]
    own = {"a_node_packs_own": "a_node_packs_own"}
    expected = {str(root): told(root, **(own if root == roots[2] else {})) for root in roots}
    assert extra_paths(tmp_path, KINDS, custom_nodes=True) == expected


def test_without_a_volume_there_is_only_the_workers_own_folder(tmp_path: Path) -> None:
    assert extra_paths(tmp_path / "none", KINDS, custom_nodes=True) == {}
    models = tmp_path / "later"
    assert extra_paths(tmp_path / "none", KINDS, custom_nodes=False, models=models) == {str(models): told(models)}


def test_node_packs_of_the_volume_come_where_they_are_asked_for_and_there(tmp_path: Path) -> None:
    (tmp_path / "custom_nodes").mkdir()
    with_packs = extra_paths(tmp_path, KINDS, custom_nodes=True)
    assert with_packs["custom_nodes"] == {"base_path": str(tmp_path), "custom_nodes": "custom_nodes"}
    assert "custom_nodes" not in extra_paths(tmp_path, KINDS, custom_nodes=False)


def test_kinds_are_read_from_lines_and_what_lies_elsewhere_is_none() -> None:
    lines = ["loras loras\n", "clip a folder\n", "clip clip\n", "configs ../configs\n", "nothing\n", "\n"]
    assert read_kinds(lines) == {"loras": {"loras"}, "clip": {"a folder", "clip"}}


@pytest.mark.parametrize("packs", [[], ["--custom-nodes"]])
def test_the_program_writes_them_as_json(
    packs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (tmp_path / "custom_nodes").mkdir()
    monkeypatch.setattr("sys.argv", ["paths", str(tmp_path), "--models", str(tmp_path / "own"), *packs])
    monkeypatch.setattr("sys.stdin", io.StringIO("loras loras\n"))
    paths.main()
    expected = extra_paths(tmp_path, {"loras": {"loras"}}, bool(packs), tmp_path / "own")
    assert json.loads(capsys.readouterr().out) == expected
