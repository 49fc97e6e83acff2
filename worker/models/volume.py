"""Where people keep the files on a network volume."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from worker.catalogue import ModelFile
from worker.models.integrity import find_fault

FOLDERS = ("models", "", "ComfyUI/models", "runpod-slim/ComfyUI/models", "madapps/ComfyUI/models")
"""Models folders; the last three are those that RunPod's ComfyUI pods leave, which mount the volume at /workspace."""
OLD_NAMES = {"diffusion_models": "unet", "text_encoders": "clip"}
"""ComfyUI's earlier names of two kinds of models, which it still reads."""
CACHED_MODELS = "huggingface-cache/hub"
"""Where RunPod puts an endpoint's cached model: on the host's disk, whatever the path says."""
HUB_CACHES = (CACHED_MODELS, "hub", ".cache/huggingface/hub", "huggingface/hub", "")


class HubPath(NamedTuple):
    """A file on the Hugging Face hub."""

    repository: str
    revision: str
    path: str


@dataclass
class Search:
    """What the volume has of one file."""

    found: Path | None = None
    faults: dict[Path, str] = field(default_factory=dict)
    """Files of that name which cannot be loaded, and why."""


def find(model: ModelFile, volume: Path) -> Search:
    """Look for a whole copy of `model`, in every layout."""
    search = Search()
    for path in _candidates(model, volume):
        if not os.path.lexists(path):
            continue
        fault = find_fault(path, model)
        if fault is None:
            search.found = path
            break
        search.faults[path] = fault
    return search


def place(model: ModelFile, volume: Path) -> Path:
    """Where a download of `model` goes: beside the other models if a layout is in use."""
    for folder in FOLDERS:
        if (volume / folder / model.folder).is_dir():
            return volume / folder / model.path
    return volume / "models" / model.path


def leaves(path: str) -> bool:
    """Whether a path is no plain one below a folder."""
    parts = path.split("/")
    return "\\" in path or "\0" in path or any(part.strip() in {"", ".", ".."} for part in parts)


def parse_hub_url(url: str, hub: str) -> HubPath | None:
    """Take apart the URL of a file on the hub, or on its mirror at `hub`; None: it lies elsewhere."""
    hosts = "|".join(re.escape(host) for host in (hub, "https://huggingface.co", "https://hf.co"))
    match = re.fullmatch(rf"(?:{hosts})/([^/]+/[^/]+)/(?:resolve|blob)/([^/]+)/([^?]+)(?:\?.*)?", url)
    return HubPath(*match.groups()) if match else None


def _candidates(model: ModelFile, volume: Path) -> Iterator[Path]:
    for folder in FOLDERS:
        yield volume / folder / model.path
        if old := OLD_NAMES.get(model.folder):
            yield volume / folder / old / model.name
    source = parse_hub_url(model.published_url, "https://huggingface.co")
    if source is None:
        return
    for cache in HUB_CACHES:
        for snapshot in _snapshots(volume / cache / f"models--{source.repository.replace('/', '--')}", source.revision):
            yield snapshot / source.path


def _snapshots(repository: Path, revision: str) -> list[Path]:
    """The snapshot that the cache names for a revision, or of that commit; every one where it names none."""
    snapshots = repository / "snapshots"
    try:
        return [snapshots / (repository / "refs" / revision).read_text(encoding="utf-8").strip()]
    except OSError:
        return [snapshots / revision] if (snapshots / revision).is_dir() else sorted(snapshots.glob("*"))
