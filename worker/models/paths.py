"""ComfyUI's extra model paths, so that it sees every models folder of the volume.

`python -m worker.models.paths VOLUME [--models FOLDER] [--custom-nodes]` writes the file for --extra-model-paths-config
to its output; its input has a line `NAME FOLDER` for each folder below models/ in which ComfyUI looks for a kind of
model. A module of its own, without the settings: ComfyUI's start waits for it.
https://github.com/comfyanonymous/ComfyUI/blob/master/extra_model_paths.yaml.example
"""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from worker.models.volume import FOLDERS

Kinds = Mapping[str, set[str]]
"""By ComfyUI's name of a kind of model, the folders below a models folder that hold it."""


def extra_paths(
    volume: Path, kinds: Kinds, custom_nodes: bool, models: Path | None = None
) -> dict[str, dict[str, str]]:
    """The content of the file, by models folder; a folder that nobody has made yet may be named.

    models: one that is not ComfyUI's own, where the worker puts its models.
    """
    config = {}
    where_downloads_go = volume / FOLDERS[0] if volume.is_dir() else None
    for root in [*([models] if models else []), *(volume / folder for folder in FOLDERS)]:
        if not root.is_dir() and root not in (models, where_downloads_go):
            continue
        known = {below for folders in kinds.values() for below in folders}
        own = {name: {name} for name in _folders(root) - known} if root.name == "models" else {}  # of node packs
        sought = {name: "\n".join(sorted(folders)) for name, folders in {**own, **kinds}.items()}
        config[str(root)] = {"base_path": str(root), **sought}
    if custom_nodes and (volume / "custom_nodes").is_dir():  # without it ComfyUI would not start
        config["custom_nodes"] = {"base_path": str(volume), "custom_nodes": "custom_nodes"}
    return config


def read_kinds(lines: Iterable[str]) -> Kinds:
    """The kinds of models in lines `NAME FOLDER`; what does not lie below a models folder is none."""
    kinds: dict[str, set[str]] = {}
    for line in lines:
        name, _, folder = line.strip().partition(" ")
        if folder and ".." not in PurePosixPath(folder).parts:
            kinds.setdefault(name, set()).add(folder)
    return kinds


def _folders(root: Path) -> set[str]:
    return {path.name for path in root.iterdir() if path.is_dir()} if root.is_dir() else set()


def main() -> None:
    """Write the file to the output."""
    parser = argparse.ArgumentParser()
    parser.add_argument("volume", type=Path)
    parser.add_argument("--models", type=Path, help="a models folder that is not ComfyUI's own")
    parser.add_argument("--custom-nodes", action="store_true", help="the node packs of the volume too")
    options = parser.parse_args()
    # JSON is YAML.
    json.dump(
        extra_paths(options.volume, read_kinds(sys.stdin), options.custom_nodes, options.models), sys.stdout, indent=1
    )


if __name__ == "__main__":
    main()
