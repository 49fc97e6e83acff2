"""A node can say of a file what it likes: nothing outside ComfyUI's output and temp folders is read or removed."""

from pathlib import Path

import pytest

from worker.comfyui import SavedFile, Scope


@pytest.fixture
def comfyui(tmp_path: Path) -> Path:
    home = tmp_path / "comfyui"
    for path in ("output/job/own.png", "temp/own.png", "input/other.png", "models/model.safetensors", "../secret"):
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_bytes(b"content")
    return home


def saved(filename: str, subfolder: str = "", folder: str = "output") -> SavedFile:
    return SavedFile("9", filename, subfolder, folder, animated=False)


@pytest.mark.parametrize("file", [saved("own.png", "job"), saved("own.png", folder="temp")])
def test_a_saved_file_is_read_and_removed(comfyui: Path, file: SavedFile) -> None:
    with Scope(comfyui) as scope:
        scope.own([file])
        assert scope.read(file) == b"content"
    assert scope.read(file) is None


@pytest.mark.parametrize(
    "file",
    [
        saved("secret", "../.."),
        saved("../../secret"),
        saved("secret", folder=".."),
        saved("model.safetensors", folder="models"),
        saved("model.safetensors", "../models"),
        saved("other.png", folder="input"),
        saved("", "", folder="output"),
    ],
)
def test_what_lies_elsewhere_is_neither_read_nor_removed(comfyui: Path, file: SavedFile) -> None:
    before = sorted(comfyui.parent.rglob("*"))
    with Scope(comfyui) as scope:
        scope.own([file])
        assert scope.read(file) is None
    assert sorted(comfyui.parent.rglob("*")) == before


def test_a_link_out_of_the_folder_is_not_followed(comfyui: Path) -> None:
    (comfyui / "output" / "link.png").symlink_to(comfyui.parent / "secret")
    assert Scope(comfyui).read(saved("link.png")) is None
