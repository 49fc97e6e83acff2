"""A network volume with models on it, as a FUSE file system: `python -m bench.slow_volume MOUNTPOINT`.

The models are whole safetensors files in the real set's proportions, made up as they are read: they take no disk. Each
open file is a stream with a rate of its own, and all streams together have another.
"""

import argparse
import errno
import os
import stat
import threading
import time
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import mfusepy

from tests.model_files import MODELS, make_header

MB = 1_000_000
PATTERN = 2**20  # bytes after which the made-up data repeats
CREDIT = 0.05  # seconds of its rate that a link makes up for after a gap between two requests


class Link:
    """Something that lets so many bytes through in a second."""

    def __init__(self, rate: float) -> None:
        self._rate, self._free, self._lock = rate, time.monotonic(), threading.Lock()

    def pass_on(self, count: int) -> float:
        """When `count` more bytes are through, a time.monotonic()."""
        with self._lock:
            self._free = max(self._free, time.monotonic() - CREDIT) + count / self._rate
            return self._free


class SlowVolume(mfusepy.Operations):
    """models/<folder>/<name> for each model of the catalogue, `size` bytes in all."""

    use_ns = True

    def __init__(self, size: int, stream_rate: float, total_rate: float) -> None:
        whole = sum(model.size or 0 for model in MODELS)
        sizes = {model: (model.size or 0) * size // whole for model in MODELS}
        self._headers = {f"/models/{model.path}": make_header(model, sizes[model]) for model in MODELS}
        self._sizes = {f"/models/{model.path}": sizes[model] for model in MODELS}
        self._folders = {str(folder) for path in self._headers for folder in PurePosixPath(path).parents}
        self._data = os.urandom(PATTERN) * 3
        self._stream_rate, self._all = stream_rate, Link(total_rate)
        self._streams: dict[int, Link] = {}

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        """Its mode and size."""
        if path in self._folders:
            return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
        if path not in self._headers:
            raise mfusepy.FuseOSError(errno.ENOENT)
        size = len(self._headers[path]) + self._sizes[path]
        return {"st_mode": stat.S_IFREG | 0o444, "st_nlink": 1, "st_size": size, "st_blocks": -(-size // 512)}

    def readdir(self, path: str, fh: int) -> Sequence[str]:
        """The names in a folder."""
        below = [PurePosixPath(one) for one in {*self._folders, *self._headers} if one != "/"]
        return [".", "..", *(one.name for one in below if str(one.parent) == path)]

    def open(self, path: str, flags: int) -> int:
        """A new stream."""
        handle = threading.get_ident() ^ time.monotonic_ns()
        self._streams[handle] = Link(self._stream_rate)
        return handle

    def release(self, path: str, fh: int) -> int:
        """The stream's end."""
        del self._streams[fh]
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        """Header or data, once they are through."""
        header = self._headers[path]
        end = min(offset + size, len(header) + self._sizes[path])
        through = max(self._streams[fh].pass_on(end - offset), self._all.pass_on(end - offset))
        start = offset % PATTERN
        data = self._data[start : start + max(end - offset, 0)]
        data = header[offset : offset + len(data)] + data[max(len(header) - offset, 0) :]
        time.sleep(max(through - time.monotonic(), 0))
        return data


def main() -> None:
    """Serve the volume until it is unmounted or this process is ended."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("mountpoint")
    parser.add_argument("--gigabytes", type=float, default=2)
    parser.add_argument("--stream-rate", type=float, default=50, help="MB/s of one open file")
    parser.add_argument("--total-rate", type=float, default=200, help="MB/s of all together")
    options = parser.parse_args()
    volume = SlowVolume(int(options.gigabytes * 1e9), options.stream_rate * MB, options.total_rate * MB)
    mfusepy.FUSE(volume, options.mountpoint, foreground=True, ro=True, fsname="slow_volume")


if __name__ == "__main__":
    main()
