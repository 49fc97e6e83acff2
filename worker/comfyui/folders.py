"""What a job leaves in ComfyUI's folders: read there and removed, for which ComfyUI has no route."""

import fcntl
import hashlib
import logging
import os
import re
import shutil
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from worker.comfyui.outputs import SavedFile
from worker.errors import JobCancelled, WorkerError

log = logging.getLogger(__name__)

_SAVED_IN = ("output", "temp")
_JOB = re.compile(r"job-[0-9a-f]{32}")
_PROCESS = uuid.uuid4().bytes  # another worker's folders are its own
_taken: set[str] = set()
_taking = threading.Lock()
_reached: set[Path] = set()  # folders in which uploads arrive
_RECOVERED = "recovered"
_RECOVERED_MOST = 10  # jobs: more would fill the disk


class Scope:
    """One job's folders in ComfyUI's input and output folders; nothing of the job is there once this is left."""

    def __init__(self, home: Path | None) -> None:
        """`home`: the folder with input, output and temp; None: out of reach, nothing is read there or removed."""
        self.name = f"job-{uuid.uuid4().hex}"
        self._home = home
        self._elsewhere: list[SavedFile] = []
        self._inputs: list[str] = []

    def __enter__(self) -> "Scope":
        return self

    def __exit__(self, *_: object) -> None:
        """Never raises: the job has its answer, whatever became of its files."""
        try:
            self._remove()
        finally:
            _taken.difference_update(self._inputs)

    def _remove(self) -> None:
        if not self._home:
            return
        folders = [self._home / "output" / self.name, *(self._home / "input" / name for name in self._inputs)]
        left = [path for path in folders if not _is_removed(path)]
        left += [path for file in self._elsewhere if (path := _locate(self._home, file)) and not _is_removed(path)]
        if left:
            log.warning("%d files or folders of the job cannot be removed and stay, the first: %s", len(left), left[0])

    def place(self, data: bytes) -> str:
        """The folder below input/ for an image, by its content: of a later job with the same image, ComfyUI still has
        what it made of it. While another job has that folder, it is one of this job's own.
        """
        name = f"job-{hashlib.sha256(_PROCESS + data).hexdigest()[:32]}"
        with _taking:
            if name in _taken:
                name = self.name
            _taken.add(name)
        self._inputs.append(name)
        return name

    def put(self, data: bytes, filename: str, upload: Callable[[bytes, str, str], str]) -> str:
        """Store an image in ComfyUI's input folder and return the name by which LoadImage finds it.

        `upload` takes data, filename and subfolder. Once an upload was seen to arrive in this folder, it is written
        there: HTTP takes 8 ms for 0.4 MB.
        """
        subfolder = self.place(data)
        if not self._home:
            return upload(data, filename, subfolder)
        path = self._home / "input" / subfolder / filename
        if self._home in _reached:
            try:
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(data)
                return f"{subfolder}/{filename}"
            except OSError as error:
                log.warning("an image cannot be written to ComfyUI's folder, and is uploaded: %s", error)
        name = upload(data, filename, subfolder)
        if path.is_file():
            _reached.add(self._home)
        return name

    def own(self, files: Iterable[SavedFile]) -> None:
        """Take these along when the scope is left: a node may save outside the job's folder."""
        self._elsewhere += files

    def read(self, file: SavedFile) -> bytes | None:
        """The bytes of a saved file, whether or not ComfyUI still answers; None where these folders do not have it."""
        path = _locate(self._home, file) if self._home else None
        try:
            return path.read_bytes() if path and path.is_file() else None  # anything else may never end
        except (OSError, ValueError):
            return None

    @contextmanager
    def keeping(self, name: str) -> Iterator[None]:
        """Where this fails, minutes of a GPU's work move to output/recovered/`name`, and the error has the path
        in ComfyUI's folder.
        """
        try:
            yield
        except JobCancelled:
            raise
        except Exception as error:
            kept = self._set_aside(name)
            if kept and isinstance(error, WorkerError):
                raise error.adding(recovered=str(kept)) from error
            raise

    def _set_aside(self, name: str) -> PurePosixPath | None:
        """Move output/`scope` out of reach; only the latest few are kept. A move needs no room on the disk."""
        if not self._home:
            return None
        home = self._home / "output" / _RECOVERED
        try:
            home.mkdir(exist_ok=True)
            shutil.rmtree(home / name, ignore_errors=True)
            (self._home / "output" / self.name).rename(home / name)
            kept = sorted(home.iterdir(), key=lambda folder: folder.stat().st_mtime)
        except (OSError, ValueError) as error:
            log.warning("no files of the job are kept: %s", error)
            return None
        for folder in kept[:-_RECOVERED_MOST]:
            shutil.rmtree(folder, ignore_errors=True)
        log.error("the job's files are kept in %s", home / name)
        return PurePosixPath("output", _RECOVERED, name)


def sweep(home: Path) -> None:
    """Remove what jobs of a worker that was killed have left, unless another worker uses these folders.

    The lock is held until this process ends: one that is killed lets go of it.
    """
    try:
        lock = os.open(home / "input", os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        left = [
            path for folder in ("input", "output") for path in (home / folder).iterdir() if _JOB.fullmatch(path.name)
        ]
        removed = sum(_is_removed(path) for path in left)
        fcntl.flock(lock, fcntl.LOCK_SH)
    except OSError as error:
        log.info("no folders of earlier jobs are looked for: %s", error.strerror)
    else:
        if left:
            log.warning("%d of %d folders that killed jobs left behind are removed", removed, len(left))


def _is_removed(path: Path) -> bool:
    """Remove a file or a folder, whatever it is; whether it is gone."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        return not os.path.lexists(path)
    except (OSError, ValueError):
        return False


def _locate(home: Path, file: SavedFile) -> Path | None:
    """Where a saved file is to be; None where its names, which any node can make up, lead elsewhere or nowhere."""
    if file.folder not in _SAVED_IN:
        return None
    try:
        folder = (home / file.folder).resolve()
        path = (folder / file.subfolder / file.filename).resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links, a name too long
        return None
    return path if folder in path.parents else None
