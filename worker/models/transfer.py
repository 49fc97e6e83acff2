"""Copy and read large files over several streams at once: a network volume limits each stream, not their sum."""

import contextlib
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

CHUNK = 16 * 2**20  # small enough that all streams end together, large enough that opening a file costs nothing
BLOCK = 4 * 2**20  # what one read of a warm-up asks for
RESERVE = 0.1  # of the disk: the platform calls a worker with less free space unhealthy
log = logging.getLogger("models")


class Copy(NamedTuple):
    """One file to copy."""

    source: Path
    target: Path

    @property
    def part(self) -> Path:
        """Where the copy grows, on the target's file system; ComfyUI does not list it."""
        return self.target.with_name(self.target.name + ".part")


class Counter:
    """Bytes done, counted by several threads."""

    def __init__(self) -> None:
        self.bytes = 0
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        """Count `count` more bytes."""
        with self._lock:
            self.bytes += count


def room(folder: Path) -> int:
    """Bytes that may still be written to the disk of `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    disk = shutil.disk_usage(folder)
    return max(disk.free - int(disk.total * RESERVE), 0)


def copy(copies: Sequence[Copy], streams: int, check: Callable[[Copy], None], counter: Counter) -> None:
    """Copy all files; each takes its target's name when whole and past `check`, which raises otherwise.

    Not flushed to the disk: the container's disk does not outlive the container.
    """
    try:
        with _pool(streams) as pool:
            running = [(item, _start_copy(pool, item, counter)) for item in copies]
            for item, ranges in running:
                for done in ranges:
                    done.result()
                check(item)
                item.part.replace(item.target)
    except BaseException:
        for item in copies:
            item.part.unlink(missing_ok=True)
        raise


def link(copies: Sequence[Copy]) -> None:
    """Let each target point at its source."""
    for item in copies:
        item.target.parent.mkdir(parents=True, exist_ok=True)
        item.part.unlink(missing_ok=True)
        item.part.symlink_to(item.source.resolve())
        item.part.replace(item.target)


def warm(paths: Sequence[Path], streams: int, limit: int, counter: Counter) -> None:
    """Read files into the page cache, in the order given, up to about `limit` bytes."""
    with _pool(streams) as pool:
        ranges = [(path, *span) for path in paths for span in _spans(path.stat().st_size)]
        for done in [pool.submit(_read_range, *one, counter, limit) for one in ranges]:
            done.result()


@contextlib.contextmanager
def report(verb: str, total: int, measure: Callable[[], int], every: float = 5.0) -> Iterator[None]:
    """Log a line of progress every few seconds and one at the end; `measure` gives the bytes done; total 0: unknown."""
    stop = threading.Event()
    start, before = time.monotonic(), measure()

    def line() -> str:
        done, seconds = measure(), max(time.monotonic() - start, 1e-3)
        rate = (done - before) / seconds
        whole = f" of {total / 1e9:.2f}" if total else ""
        left = f", {(total - done) / rate:.0f} s left" if rate > 1e5 and total > done else ""
        return f"{done / 1e9:.2f}{whole} GB in {seconds:.1f} s, {rate / 1e6:.0f} MB/s{left}"

    def tell() -> None:
        while not stop.wait(every):
            log.info("%s: %s", verb, line())

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
        log.info("%s: done, %s", verb, line())
    finally:
        stop.set()
        thread.join()


@contextlib.contextmanager
def _pool(streams: int) -> Iterator[ThreadPoolExecutor]:
    """A pool that drops what has not begun when something fails."""
    pool = ThreadPoolExecutor(streams)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _start_copy(pool: ThreadPoolExecutor, item: Copy, counter: Counter) -> list[Future[None]]:
    size = item.source.stat().st_size
    item.target.parent.mkdir(parents=True, exist_ok=True)
    with item.part.open("wb") as part:
        part.truncate(size)
    return [pool.submit(_copy_range, item, offset, length, counter) for offset, length in _spans(size)]


def _spans(size: int) -> list[tuple[int, int]]:
    return [(offset, min(CHUNK, size - offset)) for offset in range(0, size, CHUNK)]


def _copy_range(item: Copy, offset: int, length: int, counter: Counter) -> None:
    with item.source.open("rb", buffering=0) as source, item.part.open("r+b", buffering=0) as part:
        part.seek(offset)
        end = offset + length
        while offset < end:
            count = os.sendfile(part.fileno(), source.fileno(), offset, end - offset)
            if count == 0:
                raise OSError(f"{item.source} became shorter while it was copied")
            offset += count
            counter.add(count)
        # The copy is what ComfyUI reads next; the source's pages would push it out of the page cache.
        os.posix_fadvise(source.fileno(), end - length, length, os.POSIX_FADV_DONTNEED)


def _read_range(path: Path, offset: int, length: int, counter: Counter, limit: int) -> None:
    if counter.bytes >= limit:
        return
    buffer = memoryview(bytearray(min(BLOCK, length)))
    with path.open("rb", buffering=0) as file:
        for start in range(offset, offset + length, BLOCK):
            counter.add(os.preadv(file.fileno(), [buffer[: offset + length - start]], start))
