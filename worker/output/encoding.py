"""A clip's stills in one encoding or another, on all cores, and how large they would get."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath

from worker.output.file import MIME_TYPES, OutputFile
from worker.stills import Encoding, encode

_SAMPLES = 4


def estimate(files: list[OutputFile], ladder: Sequence[Encoding]) -> dict[Encoding, float]:
    """The reply's size in each lossy encoding, from a few stills: a full pass over a long clip takes seconds."""
    stills = [file for file in files if file.still]
    lossy = [encoding for encoding in ladder if encoding.quality]
    if len(stills) <= 2 * _SAMPLES:
        return {}
    sample = stills[:: len(stills) // _SAMPLES][:_SAMPLES]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        encoded = list(pool.map(lambda file: encode(file.data, lossy) or [file.data] * len(lossy), sample))
    saved, fixed = total_size(sample) or 1, total_size(files) - total_size(stills)
    return {
        encoding: (fixed + min(1, sum(map(len, column)) / saved) * total_size(stills)) * 4 / 3
        for encoding, *column in zip(lossy, *encoded, strict=True)
    }


def encode_all(files: list[OutputFile], encoding: Encoding, *, fallback: bool = False) -> list[OutputFile]:
    """Each file in that encoding, on all cores: Pillow lets go of the interpreter, and each picture stays in a thread.

    Every pass decodes anew: 129 decoded frames of 720p would take 357 MB.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda file: _encode(file, encoding, fallback), files))


def stays(file: OutputFile, encoding: Encoding) -> bool:
    """Whether the file as saved is what that encoding is to give."""
    return not encoding.format or not file.still or MIME_TYPES[encoding.suffix] == file.mime_type


def _encode(file: OutputFile, encoding: Encoding, fallback: bool) -> OutputFile:
    """The file in that encoding, or as saved where that is the same, or smaller (on a fallback), or no still at all."""
    if not file.still or (not fallback and stays(file, encoding)):
        return file
    encoded = encode(file.data, [encoding])
    if not encoded or (fallback and len(encoded[0]) >= len(file.data)):
        return file
    stem = PurePosixPath(file.filename).stem
    return OutputFile(stem + encoding.suffix, encoded[0], quality=encoding.quality, node_id=file.node_id)


def total_size(files: Iterable[OutputFile]) -> int:
    """Their bytes."""
    return sum(len(file.data) for file in files)
