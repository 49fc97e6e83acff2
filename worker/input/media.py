"""What a video's or a sound's bytes hold. It runs in decoder's child.

What a caller sends for LoadVideo and LoadAudio is decoded to the end; of a finished clip as few frames as tell.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from worker.input.pixels import Image, Unfit

# Beginning, suffix, and FFmpeg's reader: left to guess, it would also follow a playlist's links.
_KINDS = (
    (rb"(?s)....ftyp(?:avi[fs]|hei|hev|mif1|msf1)", "", ""),  # still images in the same container
    (rb"(?s)....ftypM4A", ".m4a", "mp4"),
    (rb"(?s)....ftypqt", ".mov", "mov"),
    (rb"(?s)....ftyp", ".mp4", "mp4"),
    (rb"\x1aE\xdf\xa3", ".webm", "matroska"),
    (rb"(?s)RIFF....AVI ", ".avi", "avi"),
    (rb"(?s)RIFF....WAVE", ".wav", "wav"),
    (rb"ID3|\xff[\xfb\xf3\xf2]", ".mp3", "mp3"),
    (rb"OggS", ".ogg", "ogg"),
    (rb"fLaC", ".flac", "flac"),
)
# FFmpeg's readers of finished videos, by suffix.
READERS = {".mp4": "mp4", ".mov": "mov", ".m4v": "mp4", ".webm": "matroska", ".mkv": "matroska"}
_SAMPLES = 8
_SAMPLE_SIDE = 64  # pixels
_DARK = 16  # of 255: the brightest that a sample of a black frame shows


@dataclass(frozen=True)
class Video:
    """What a finished video holds."""

    width: int
    height: int
    frames: int
    fps: float
    black: bool
    """Whether the frames looked at, the start picture apart, show nothing at all."""


def find_suffix(data: bytes) -> str:
    """The suffix of a video's or a sound's file by its beginning; empty: it is neither."""
    return next((suffix for start, suffix, _ in _KINDS if re.match(start, data)), "")


def look(data: bytes, max_pixels: int, max_seconds: float) -> Image:
    """Decode every frame and sample; raises Unfit. Sizes in pixels; a sound has none."""
    suffix = find_suffix(data)
    reader = next(reader for _, found, reader in _KINDS if found == suffix)
    import av  # pictures need none of it

    try:
        with av.open(BytesIO(data), format=reader) as container:
            width, height = _decode(container, max_pixels, max_seconds)
    except Unfit:
        raise
    except Exception as error:
        raise Unfit("broken", f"{type(error).__name__}: {error}") from error
    return Image(data, suffix, width, height)


def _decode(container: Any, max_pixels: int, max_seconds: float) -> tuple[int, int]:
    frame, width, height = None, 0, 0
    for frame in container.decode():
        width, height = max(width, getattr(frame, "width", 0)), max(height, getattr(frame, "height", 0))
        if width * height > max_pixels:
            raise Unfit("pixels", f"is {width}x{height} pixels")
        if (frame.time or 0) > max_seconds:
            raise Unfit("size", f"is longer than {max_seconds:g} s (MAX_MEDIA_SECONDS): cut it shorter")
    if frame is None:
        raise Unfit("broken", "nothing in it decodes")
    return width, height


def inspect(data: bytes, reader: str) -> Video:
    """Read a finished video to its end and decode as few frames as tell; raises Unfit.

    A frame in the middle whose bits are damaged is not noticed: to decode each takes 35 ms for 25 frames of 720x1280.
    """
    import av

    # Nothing is wanted of the metadata, which any program may have written, and no frame only to guess the measures
    # that the header has: a first one takes 8 ms.
    options: Any = {"metadata_errors": "replace", "stream_options": [{"skip_frame": "all"}]}
    try:
        with av.open(BytesIO(data), format=reader, **options) as container:
            stream = container.streams.video[0]
            if stream.codec_context is None:  # with which PyAV before 18 ends the process
                raise Unfit("broken", "no decoder for this codec")
            frames = _count(container, stream)
            fps = float(stream.average_rate or stream.guessed_rate or 0)
            container.seek(0)
            black = _is_black(container.decode(stream), step=max(1, frames // _SAMPLES))
            return Video(stream.width, stream.height, frames, fps, black)
    except (av.FFmpegError, IndexError) as error:
        raise Unfit("broken", type(error).__name__) from error


def _count(container: Any, stream: Any) -> int:
    """The frames by their packets."""
    packets = [packet for packet in container.demux(stream) if packet.size]
    whole, told = sum(not packet.is_corrupt for packet in packets), max(len(packets), stream.frames)
    if whole < told:
        raise Unfit("broken", f"{whole} of {told} frames are whole")
    if not packets:
        raise Unfit("broken", "it has no frames")
    return len(packets)


def _is_black(frames: Iterator[Any], step: int) -> bool:
    """Whether no frame shows anything, the first one, the start picture, apart where there are others."""
    first = shown = True
    for number, frame in enumerate(frames):
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
