"""Finished files in a folder of the network volume."""

import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from worker.errors import OutputFailed

log = logging.getLogger(__name__)


def keep(parent: Path, name: str, files: Mapping[str, bytes]) -> list[Path]:
    """Make the folder `name` of `parent` hold exactly the files, all or none, and return their paths.

    Whatever the name is, nothing outside `parent` is removed. Raises OutputFailed.
    """
    folder = parent / (os.path.basename(os.path.normpath(f"/{name}")) or "job")  # noqa: PTH119 - Path keeps ..
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        partial.mkdir(parents=True, exist_ok=True)
        for filename, data in files.items():
            (partial / filename).write_bytes(data)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    except (OSError, ValueError) as error:  # ValueError: a name that no disk takes
        shutil.rmtree(partial, ignore_errors=True)
        log.warning("cannot write to %s: %s", folder, error)
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise OutputFailed(f"its files cannot be written: {reason}") from error
    return [folder / filename for filename in files]


def is_writable(folder: Path) -> bool:
    """Whether it is there and new files can be made in it."""
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
