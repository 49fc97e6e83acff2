"""What a video's or a sound's bytes hold, for LoadVideo and LoadAudio: decoded to the end in decoder's child."""

import re
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
    width = height = decoded = 0
    for frame in container.decode():
        decoded += 1
        width, height = max(width, getattr(frame, "width", 0)), max(height, getattr(frame, "height", 0))
        if width * height > max_pixels:
            raise Unfit("pixels", f"is {width}x{height} pixels")
        if (frame.time or 0) > max_seconds:
            raise Unfit("size", f"is longer than {max_seconds:g} s (MAX_MEDIA_SECONDS): cut it shorter")
    if not decoded:
        raise Unfit("broken", "nothing in it decodes")
    return width, height
