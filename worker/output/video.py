"""The finished video before it is sent: what it shows, whether that was asked for, and its index moved to the front."""

import logging
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import av
from av.error import DecoderNotFoundError, FFmpegError, InvalidDataError

from worker.errors import OutputFailed
from worker.output.file import OutputFile

log = logging.getLogger(__name__)

# FFmpeg's readers by suffix: left to guess, it would also follow a playlist's links.
_READERS = {".mp4": "mp4", ".mov": "mov", ".m4v": "mp4", ".webm": "matroska", ".mkv": "matroska"}
_INDEX_IN_FRONT = (".mp4", ".mov", ".m4v")
_CONTAINERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
_OFFSETS = {b"stco": "I", b"co64": "Q"}
_SAMPLES = 8
_SAMPLE_SIDE = 64  # pixels
_DARK = 16  # of 255: the brightest that a sample of a black frame shows
_FPS_TOLERANCE = 0.01


@dataclass(frozen=True)
class Video:
    """What a video file holds when it is decoded."""

    width: int
    height: int
    frames: int
    fps: float
    black: bool
    """Whether the frames looked at, the start picture apart, show nothing at all."""


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


def check(files: Sequence[OutputFile], expected: Expected | None) -> Clip:
    """Look at every video among the files, and put its index in front.

    With `expected`, a video that cannot be decoded is left out, and OutputFailed raised when nothing else is there.
    Without, for a caller's graph, the files go as they are.
    """
    fit: list[OutputFile] = []
    facts: dict[str, Any] = {}
    warnings: list[str] = []
    for file in files:
        try:
            video = inspect(file) if file.suffix in _READERS else None
        except OutputFailed as error:
            if expected is None:
                fit.append(file)
            elif len(files) == 1:
                raise
            warnings.append(f"{error.message}; it is not sent" if expected else error.message)
            continue
        if video:
            warnings += _differences(video, file.filename, expected)
            facts = facts or (_facts(video, expected) if expected else {})
        fit.append(replace(file, data=put_index_first(file)) if video else file)
    stills = sum(file.kind == "image" for file in files)
    if expected and expected.stills and stills != expected.num_frames:
        facts["num_frames"] = stills
        warnings.append(f"ComfyUI delivered {stills} frames instead of {expected.num_frames}")
    return Clip(tuple(fit), facts, tuple(warnings))


def inspect(file: OutputFile) -> Video:
    """Read the file to its end and decode as few frames as tell; raises OutputFailed where that cannot be done.

    A frame in the middle whose bits are damaged is not noticed: to decode each takes 35 ms for 25 frames of 720x1280.
    """
    try:
        # Nothing is wanted of the metadata, which any program may have written.
        with av.open(BytesIO(file.data), format=_READERS[file.suffix], metadata_errors="replace") as container:
            video = _count(container)
            container.seek(0)
            black = _is_black(container, step=max(1, video.frames // _SAMPLES))
    except (FFmpegError, IndexError) as error:
        log.warning("%s, %d bytes, cannot be decoded: %s", file.filename, len(file.data), error)
        raise OutputFailed(f"the video {file.filename} cannot be decoded: {type(error).__name__}") from error
    if not video.frames:
        raise OutputFailed(f"the video {file.filename} has no frames")
    return replace(video, black=black)


def _count(container: Any) -> Video:
    """The measures, and the frames by their packets."""
    stream = container.streams.video[0]
    if stream.codec_context is None:  # with which PyAV before 18 ends the process
        raise DecoderNotFoundError(0, "no decoder for this codec")
    packets = [packet for packet in container.demux(stream) if packet.size]
    if any(packet.is_corrupt for packet in packets) or len(packets) < stream.frames:
        raise InvalidDataError(0, f"{len(packets)} of {stream.frames} frames are whole")
    fps = float(stream.average_rate or stream.guessed_rate or 0)
    return Video(stream.width, stream.height, len(packets), fps, black=False)


def _is_black(container: Any, step: int) -> bool:
    """Whether no frame shows anything, the first one, the start picture, apart where there are others."""
    stream = container.streams.video[0]
    first = shown = True
    for number, frame in enumerate(container.decode(stream)):
        if number % step and number > 1:
            continue
        shown = not _is_dark(frame)
        if shown and not first:
            return False
        first = False
    return not shown


def _is_dark(frame: Any) -> bool:
    small = frame.reformat(width=_SAMPLE_SIDE, height=_SAMPLE_SIDE, format="gray")
    return max(bytes(small.planes[0])) <= _DARK


def _facts(video: Video, expected: Expected) -> dict[str, Any]:
    """The video's facts; its rate as it was asked for where it is that."""
    rate = expected.fps if abs(video.fps - expected.fps) <= _FPS_TOLERANCE else round(video.fps, 3)
    return {"width": video.width, "height": video.height, "num_frames": video.frames, "fps": rate}


def _differences(video: Video, name: str, expected: Expected | None) -> Iterator[str]:
    if expected and video.frames != expected.num_frames:
        yield f"the video {name} has {video.frames} frames instead of {expected.num_frames}"
    if expected and abs(video.fps - expected.fps) > _FPS_TOLERANCE:
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
