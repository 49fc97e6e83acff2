"""What a job leaves in ComfyUI's folders: read there, and removed, for which ComfyUI has no route."""

import logging
import shutil
from collections.abc import Iterable
from pathlib import Path

from worker.comfyui.client import SavedFile

log = logging.getLogger(__name__)

_SAVED_IN = ("output", "temp")
_RECOVERED = "recovered"
_RECOVERED_MOST = 10  # jobs: more would fill the disk


def clear(comfyui_dir: Path, scope: str, files: Iterable[SavedFile]) -> None:
    """Remove input/`scope`, output/`scope` and the `files` that nodes saved elsewhere; what is gone already is fine."""
    for folder in ("input", "output"):
        shutil.rmtree(comfyui_dir / folder / scope, ignore_errors=True)
        if (comfyui_dir / folder / scope).exists():
            log.warning("cannot remove %s/%s: it stays on the disk", folder, scope)
    for file in files:
        if path := _locate(comfyui_dir, file):
            path.unlink(missing_ok=True)


def read_saved(comfyui_dir: Path, file: SavedFile) -> bytes | None:
    """The bytes of a saved file, whether or not ComfyUI still answers; None where these folders do not have it."""
    path = _locate(comfyui_dir, file)
    try:
        return path.read_bytes() if path else None
    except OSError:
        return None


def set_aside(comfyui_dir: Path, scope: str, name: str) -> Path | None:
    """Move output/`scope` to output/recovered/`name`, out of `clear`'s reach; None where there is nothing, or no way.

    Only the latest few are kept. A move needs no room on the disk.
    """
    source, home = comfyui_dir / "output" / scope, comfyui_dir / "output" / _RECOVERED
    target = home / name
    try:
        home.mkdir(exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        source.rename(target)
        kept = sorted(home.iterdir(), key=lambda folder: folder.stat().st_mtime)
    except OSError as error:
        log.warning("no files of the job are kept: %s", error)
        return None
    for folder in kept[:-_RECOVERED_MOST]:
        shutil.rmtree(folder, ignore_errors=True)
    return target


def _locate(comfyui_dir: Path, file: SavedFile) -> Path | None:
    """Where a saved file is to be; None where its names, which any node can make up, lead elsewhere."""
    if file.folder not in _SAVED_IN:
        return None
    home = (comfyui_dir / file.folder).resolve()
    path = (home / file.subfolder / file.filename).resolve()
    return path if home in path.parents else None
