"""What a job leaves in ComfyUI's folders, and its removal: ComfyUI has no route that deletes a file."""

import logging
import shutil
from collections.abc import Iterable
from pathlib import Path

from worker.comfyui.client import SavedFile

log = logging.getLogger(__name__)


def clear(comfyui_dir: Path, scope: str, files: Iterable[SavedFile]) -> None:
    """Remove input/`scope`, output/`scope` and the `files` that nodes saved elsewhere; what is gone already is fine."""
    for folder in ("input", "output"):
        shutil.rmtree(comfyui_dir / folder / scope, ignore_errors=True)
        if (comfyui_dir / folder / scope).exists():
            log.warning("cannot remove %s/%s: it stays on the disk", folder, scope)
    for file in files:
        home = (comfyui_dir / file.folder).resolve()
        path = (home / file.subfolder / file.filename).resolve()
        if home in path.parents:
            path.unlink(missing_ok=True)
