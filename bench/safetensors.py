"""Writing random tensors as a safetensors file, one at a time: 8 bytes of header length, a JSON header, the data."""

import functools
import json
import math
import mmap
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

BYTES = {"F8_E4M3": 1, "F16": 2, "F32": 4}
BLOCK = 1_048_573  # values drawn; a prime, so that no two rows of a matrix begin at the same place of it
BUFFER = 2**24  # bytes written at once
FP8_DEVIATION = 64.0  # of the values that stand for a standard deviation of 1: seven of them are fp8's largest, 448


@dataclass(frozen=True)
class Tensor:
    """A tensor to write: random around 0, or one value throughout."""

    name: str
    dtype: str
    """A key of BYTES."""
    shape: tuple[int, ...]
    deviation: float = 0.0
    """Standard deviation of random values; fp8 has FP8_DEVIATION, whatever is said here."""
    value: float = 0.0
    """What a tensor without deviation is filled with."""

    @property
    def count(self) -> int:
        """How many values it has."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """How many bytes it takes in the file."""
        return self.count * BYTES[self.dtype]


def write(path: Path, tensors: Iterable[Tensor], seed: int) -> int:
    """Write the file, in a few MB of memory whatever its size; returns its bytes. A seed always gives the same ones."""
    ordered = _in_order(tensors)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with closing(_Sink(part)) as sink:
        sink.write(_head(ordered))
        for tensor in ordered:
            for piece in _pieces(tensor, seed):
                sink.write(piece.data)
    part.replace(path)
    return path.stat().st_size


class _Sink:
    """A file written past the page cache, which large files would fill first; through it where that is not possible."""

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        try:
            self._file = os.open(path, flags | getattr(os, "O_DIRECT", 0), 0o644)
        except OSError:  # a file system that lacks it, such as tmpfs
            self._file = os.open(path, flags, 0o644)
        self._buffer = mmap.mmap(-1, BUFFER)  # begins at a page, as O_DIRECT wants it
        self._size = 0

    def write(self, data: bytes | memoryview) -> None:
        left = memoryview(data).cast("B")
        while left:
            used = self._size % BUFFER
            piece = left[: BUFFER - used]
            self._buffer[used : used + len(piece)] = piece
            self._size, left = self._size + len(piece), left[len(piece) :]
            if used + len(piece) == BUFFER:
                self._flush(BUFFER)

    def _flush(self, count: int) -> None:
        with memoryview(self._buffer) as whole, whole[:count] as left:
            written = os.write(self._file, left)
            while written < count:  # a disk that fills up says so in the next call
                written += os.write(self._file, left[written:])

    def close(self) -> None:
        """Write the rest, in whole pages, and cut the file to its size."""
        self._flush(-(-(self._size % BUFFER) // mmap.PAGESIZE) * mmap.PAGESIZE)
        os.ftruncate(self._file, self._size)
        os.close(self._file)
        self._buffer.close()


def size(tensors: Iterable[Tensor]) -> int:
    """How many bytes `write` would write."""
    ordered = _in_order(tensors)
    return len(_head(ordered)) + sum(tensor.nbytes for tensor in ordered)


def _in_order(tensors: Iterable[Tensor]) -> list[Tensor]:
    """As published files have them: large types first, so that every value lies at a multiple of its size."""
    return sorted(tensors, key=lambda tensor: (-BYTES[tensor.dtype], tensor.name))


def _head(tensors: Iterable[Tensor]) -> bytes:
    entries: dict[str, Any] = {}
    end = 0
    for tensor in tensors:
        if tensor.name in entries:
            raise ValueError(f"two tensors are named {tensor.name}")
        start, end = end, end + tensor.nbytes
        entries[tensor.name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": [start, end]}
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the data begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text


def _pieces(tensor: Tensor, seed: int) -> Iterator[NDArray[Any]]:
    """The tensor's values, block by block."""
    if not tensor.deviation:
        yield _constant(tensor)
        return
    block = _random_block(tensor.dtype, 1.0 if tensor.dtype == "F8_E4M3" else tensor.deviation, seed)
    at, left = zlib.crc32(tensor.name.encode()) % BLOCK, tensor.count
    while left:
        piece = block[at : at + left]
        yield piece
        at, left = 0, left - len(piece)


def _constant(tensor: Tensor) -> NDArray[Any]:
    if tensor.dtype != "F8_E4M3":
        return np.full(tensor.count, tensor.value, {"F16": np.float16, "F32": np.float32}[tensor.dtype])
    return to_fp8(np.full(tensor.count, tensor.value))


@functools.lru_cache(maxsize=8)
def _random_block(dtype: str, deviation: float, seed: int) -> NDArray[Any]:
    values = _normal_block(seed) * deviation
    return to_fp8(values * FP8_DEVIATION) if dtype == "F8_E4M3" else values.astype({"F16": "f2", "F32": "f4"}[dtype])


@functools.lru_cache(maxsize=1)
def _normal_block(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(BLOCK, np.float32)


def to_fp8(values: NDArray[Any]) -> NDArray[np.uint8]:
    """The bytes of float8_e4m3fn that are nearest to the values; what is too large becomes the largest."""
    exponent, fraction = np.divmod(np.arange(127), 8)  # of 0 to 448; 127 is not a number
    known = np.where(exponent > 0, (1 + fraction / 8) * 2.0 ** (exponent - 7), fraction * 2.0**-9)
    nearest = np.searchsorted((known[1:] + known[:-1]) / 2, np.abs(values))
    codes: NDArray[np.uint8] = (nearest + np.where(np.signbit(values), 128, 0)).astype(np.uint8)
    return codes
