"""What a job leaves in ComfyUI's folders: read there and removed, for which ComfyUI has no route."""

import logging
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.comfyui.client import SavedFile
from worker.errors import JobCancelled, WorkerError

log = logging.getLogger(__name__)

_SAVED_IN = ("output", "temp")
_RECOVERED = "recovered"
_RECOVERED_MOST = 10  # jobs: more would fill the disk


class Scope:
    """One job's own folder in ComfyUI's input and output folders; nothing of the job is there once this is left."""

    def __init__(self, home: Path | None) -> None:
        """`home`: the folder with input, output and temp; None: out of reach, nothing is read there or removed."""
        self.name = f"job-{uuid.uuid4().hex}"
        self._home = home
        self._elsewhere: list[SavedFile] = []

    def __enter__(self) -> "Scope":
        return self

    def __exit__(self, *_: object) -> None:
        if not self._home:
            return
        for folder in ("input", "output"):
            shutil.rmtree(self._home / folder / self.name, ignore_errors=True)
            if (self._home / folder / self.name).exists():
                log.warning("cannot remove %s/%s: it stays on the disk", folder, self.name)
        for file in self._elsewhere:
            if path := _locate(self._home, file):
                path.unlink(missing_ok=True)

    def own(self, files: Iterable[SavedFile]) -> None:
        """Take these along when the scope is left: a node may save outside the job's folder."""
        self._elsewhere += files

    def read(self, file: SavedFile) -> bytes | None:
        """The bytes of a saved file, whether or not ComfyUI still answers; None where these folders do not have it."""
        path = _locate(self._home, file) if self._home else None
        try:
            return path.read_bytes() if path else None
        except OSError:
            return None

    @contextmanager
    def keeping(self, name: str) -> Iterator[None]:
        """Where this fails, minutes of a GPU's work move to output/recovered/`name`, and the error has the path."""
        try:
            yield
        except JobCancelled:
            raise
        except Exception as error:
            kept = self._set_aside(name)
            if kept and isinstance(error, WorkerError):
                raise error.adding(recovered=str(kept)) from error
            raise

    def _set_aside(self, name: str) -> Path | None:
        """Move output/`scope` out of reach; only the latest few are kept. A move needs no room on the disk."""
        if not self._home:
            return None
        home = self._home / "output" / _RECOVERED
        try:
            home.mkdir(exist_ok=True)
            shutil.rmtree(home / name, ignore_errors=True)
            (self._home / "output" / self.name).rename(home / name)
            kept = sorted(home.iterdir(), key=lambda folder: folder.stat().st_mtime)
        except OSError as error:
            log.warning("no files of the job are kept: %s", error)
            return None
        for folder in kept[:-_RECOVERED_MOST]:
            shutil.rmtree(folder, ignore_errors=True)
        log.error("the job's files are kept in %s", home / name)
        return home / name


def _locate(home: Path, file: SavedFile) -> Path | None:
    """Where a saved file is to be; None where its names, which any node can make up, lead elsewhere."""
    if file.folder not in _SAVED_IN:
        return None
    folder = (home / file.folder).resolve()
    path = (folder / file.subfolder / file.filename).resolve()
    return path if folder in path.parents else None
