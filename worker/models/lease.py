"""One worker at a time: a lease file on a file system that several machines share.

The holder touches its file; one that nobody has touched for a while belongs to a worker that is gone, and is taken
over. Time is counted by the one who waits, so the machines' clocks need not agree. Locks of the kernel would be
simpler, but on network file systems flock may succeed for everyone, and a taking over by renameat2's exchange, as
filelock's SoftFileLease does it, is refused by MooseFS and other file systems on FUSE.
"""

import contextlib
import logging
import os
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

BEAT = 2.0
STALE = 12.0
log = logging.getLogger("models")


@contextlib.contextmanager
def hold(path: Path, beat: float = BEAT, stale: float = STALE) -> Iterator[None]:
    """Hold the lease at `path`; waits for another holder to finish or to be gone.

    Two that take over one abandoned lease in the same moment may both hold it for a beat: what is done under a lease
    must survive that.
    """
    owner = uuid.uuid4().hex
    _acquire(path, owner, beat, stale)
    stop = threading.Event()
    heart = threading.Thread(target=_keep, args=(path, owner, stop, beat), daemon=True)
    heart.start()
    try:
        yield
    finally:
        stop.set()
        heart.join()
        if _read(path) == owner:
            path.unlink(missing_ok=True)


def _acquire(path: Path, owner: str, beat: float, stale: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    while not _create(path, owner):
        log.info("waiting for another worker that downloads %s", path.stem)
        if not _is_abandoned(path, beat, stale):
            continue
        log.warning("taking over %s from a worker that is gone", path.stem)
        mine = path.with_name(f"{path.name}.{owner}")
        mine.write_text(owner)
        mine.replace(path)
        time.sleep(beat)  # another that took over in the same moment has replaced it by now
        if _read(path) == owner:
            return


def _create(path: Path, owner: str) -> bool:
    try:
        with path.open("x") as file:
            file.write(owner)
    except FileExistsError:
        return False
    return True


def _is_abandoned(path: Path, beat: float, stale: float) -> bool:
    """Wait until the lease is free (False), or has not been touched for `stale` seconds (True)."""
    seen, since = _touched(path), time.monotonic()
    while seen is not None:
        time.sleep(beat / 5)
        now = _touched(path)
        if now != seen:
            seen, since = now, time.monotonic()
        elif time.monotonic() - since >= stale:
            return True
    return False


def _keep(path: Path, owner: str, stop: threading.Event, beat: float) -> None:
    while not stop.wait(beat):
        with contextlib.suppress(OSError):  # a network file system may fail for a while; the next beat tries again
            if _read(path) == owner:  # another may have taken it over while this machine stood still
                os.utime(path)


def _touched(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
