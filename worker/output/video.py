"""The finished video before it is sent: what it shows, whether that was asked for, and its index moved to the front."""

import logging
import math
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from worker.errors import OutputFailed
from worker.input.decoder import SHARED
from worker.input.media import READERS, Video
from worker.input.pixels import Unfit
from worker.output.file import OutputFile

log = logging.getLogger(__name__)

_INDEX_IN_FRONT = (".mp4", ".mov", ".m4v")
_CONTAINERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
_OFFSETS = {b"stco": "I", b"co64": "Q"}
_FPS_TOLERANCE = 0.01


class Unchecked(OutputFailed):
    """Nobody knows what the video holds."""


@dataclass(frozen=True)
class Expected:
    """What a clip is to be."""

    num_frames: int
    fps: float
    stills: bool
    """Whether its frames are saved as images as well."""


@dataclass(frozen=True)
class Clip:
    """Files fit to be sent, what they show, and what to tell the caller."""

    files: tuple[OutputFile, ...]
    facts: Mapping[str, Any]
    """width, height, num_frames and fps of the first video, for the answer; empty for a caller's graph"""
    warnings: tuple[str, ...]


def check(files: Sequence[OutputFile], expected: Expected | None, wait: Callable[[], None] = lambda: None) -> Clip:
    """Look at every video among the files, and put its index in front.

    With `expected`, a video that cannot be decoded is left out, and OutputFailed raised when nothing else is there.
    Without, for a caller's graph, the files go as they are. `wait` is called meanwhile, and ends it if it raises.
    """
    fit: list[OutputFile] = []
    facts: dict[str, Any] = {}
    warnings: list[str] = []
    for file in files:
        try:
            video = inspect(file, wait) if file.suffix in READERS else None
        except OutputFailed as error:
            is_sent = expected is None or isinstance(error, Unchecked)
            if is_sent:
                fit.append(file)
            elif len(files) == 1:
                raise
            warnings.append(error.message if is_sent else f"{error.message}; it is not sent")
            continue
        if video:
            warnings += _differences(video, file.filename, expected)
            facts = facts or (_facts(video, expected) if expected else {})
        fit.append(replace(file, data=put_index_first(file)))
    stills = sum(file.kind == "image" for file in files)
    if expected and expected.stills and stills != expected.num_frames:
        facts["num_frames"] = stills
        warnings.append(f"ComfyUI delivered {stills} frames instead of {expected.num_frames}")
    return Clip(tuple(fit), facts, tuple(warnings))


def inspect(file: OutputFile, wait: Callable[[], None] = lambda: None) -> Video:
    """Read the file to its end and decode as few frames as tell; raises OutputFailed where that cannot be done.

    `wait` is called again and again meanwhile, and ends it if it raises.
    """
    try:
        return SHARED.inspect(file.data, READERS[file.suffix], wait)
    except Unfit as fault:
        log.warning("%s, %d bytes: %s %s", file.filename, len(file.data), fault.kind, fault)
        if fault.kind in {"slow", "dead"}:
            raise Unchecked(f"the video {file.filename} is not checked: its decoder took too long, or died") from fault
        raise OutputFailed(f"the video {file.filename} cannot be decoded: {fault}") from fault


def _facts(video: Video, expected: Expected) -> dict[str, Any]:
    """The video's facts; its rate as it was asked for where it is that."""
    rate = expected.fps if _has_rate(video, expected) else round(video.fps, 3)
    return {"width": video.width, "height": video.height, "num_frames": video.frames, "fps": rate}


def _has_rate(video: Video, expected: Expected) -> bool:
    return math.isclose(video.fps, expected.fps, abs_tol=_FPS_TOLERANCE)


def _differences(video: Video, name: str, expected: Expected | None) -> Iterator[str]:
    if expected and video.frames != expected.num_frames:
        yield f"the video {name} has {video.frames} frames instead of {expected.num_frames}"
    if expected and not _has_rate(video, expected):
        yield f"the video {name} has {video.fps:g} frames per second instead of {expected.fps:g}"
    if video.black:
        yield (
            f"the video {name} is black. Some attention kernels do that with this model: where COMFYUI_ARGS has "
            "--use-sage-attention or the like, leave it out"
        )


def put_index_first(file: OutputFile) -> bytes:
    """The file with its `moov` box before its `mdat`, so that a player starts before it has the whole file.

    Frames, metadata and size stay as they are; a remux by PyAV 18.1 writes an index of its own, 160 bytes longer, and
    needs a file on disk. A file that has it so, or is built otherwise, comes back unchanged.
    https://developer.apple.com/documentation/quicktime-file-format
    """
    data = file.data
    if file.suffix not in _INDEX_IN_FRONT:
        return data
    try:
        boxes = list(_boxes(data, 0, len(data)))
        ((first, last),) = [(start, stop) for kind, start, _, stop in boxes if kind == b"moov"]
        media = [start for kind, start, _, _ in boxes if kind == b"mdat"]
        if max(media) > first or any(kind == b"moof" for kind, *_ in boxes):
            return data
        index = bytearray(data[first:last])
        _shift(index, 0, len(index), by=len(index))
    except (ValueError, struct.error, RecursionError) as error:
        log.info("%s keeps its order of boxes: %s %s", file.filename, type(error).__name__, error)
        return data
    view = memoryview(data)
    return b"".join((view[: min(media)], index, view[min(media) : first], view[last:]))


def _boxes(data: bytes | bytearray, start: int, end: int) -> Iterator[tuple[bytes, int, int, int]]:
    """Each box between start and end as kind, its start, its content's start and its end."""
    while start < end:
        size, kind = struct.unpack_from(">I4s", data, start)
        content = start + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, content)
            content += 8
        stop = start + size if size else end
        if not content <= stop <= end:
            raise ValueError(f"box {kind!r} at {start} ends at {stop}")
        yield kind, start, content, stop
        start = stop


def _shift(index: bytearray, start: int, end: int, *, by: int) -> None:
    """Add `by` to the place of every chunk of frames that the index names."""
    for kind, _, content, stop in _boxes(index, start, end):
        if kind in _CONTAINERS:
            _shift(index, content, stop, by=by)
        elif kind in _OFFSETS:
            (count,) = struct.unpack_from(">I", index, content + 4)
            layout = f">{count}{_OFFSETS[kind]}"
            places = struct.unpack_from(layout, index, content + 8)
            struct.pack_into(layout, index, content + 8, *(place + by for place in places))
