"""A file that a job saved: what it is by its name, and names that any file system and caller can take."""

import mimetypes
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

# Fixed here: the machine's own list (mimetypes) is short where it has no /etc/mime.types, as in the image.
MIME_TYPES = {
    ".mp4": "video/mp4",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
    ".mov": "video/quicktime",
    ".m4v": "video/mp4",
    ".avi": "video/x-msvideo",
    ".flac": "audio/flac",
    ".mp3": "audio/mpeg",
    ".opus": "audio/ogg",
    ".ogg": "audio/ogg",
    ".m4a": "audio/mp4",
    ".wav": "audio/wav",
    ".png": "image/png",
    ".apng": "image/apng",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
}
_MOVING_SUFFIXES = (".gif", ".apng")


def find_suffix(filename: str) -> str:
    """The suffix in lower case, with its dot."""
    return PurePosixPath(filename).suffix.lower()


def find_mime_type(filename: str) -> str:
    """The media type that the suffix stands for."""
    suffix = find_suffix(filename)
    return MIME_TYPES.get(suffix) or mimetypes.guess_type(f"file{suffix}")[0] or "application/octet-stream"


def find_main_type(filename: str) -> str:
    """The first half of its media type: "video", "audio", "image" ..."""
    return find_mime_type(filename).split("/")[0]


@dataclass(frozen=True)
class OutputFile:
    """One file that ComfyUI saved, or one made from it."""

    filename: str
    data: bytes
    animated: bool = False
    """Whether it is a picture that moves, which is never encoded again."""
    quality: int | None = None
    """Of a picture with loss, where it is known: 1 to 100."""
    node_id: str | None = None
    """The node that made it."""
    shown: bool = False
    """Whether it is a text that a node shows, not a file that it saved."""

    @property
    def mime_type(self) -> str:
        """The media type that the suffix stands for."""
        return find_mime_type(self.filename)

    @property
    def kind(self) -> str:
        """The `type` of its entry: "video", "image", "text", or "file" (sound, latents, saved texts)."""
        if self.shown:
            return "text"
        main = find_main_type(self.filename)
        return main if main in ("video", "image") else "file"

    @property
    def still(self) -> bool:
        """Whether it is a picture that may be encoded again."""
        return self.kind == "image" and not self.animated and self.suffix not in _MOVING_SUFFIXES

    @property
    def suffix(self) -> str:
        """The suffix in lower case, with its dot."""
        return find_suffix(self.filename)


@dataclass(frozen=True)
class Item:
    """A file to store. `key`: its path in the place, with slashes."""

    key: str
    data: bytes
    mime_type: str


def name_uniquely(files: Iterable[OutputFile]) -> list[OutputFile]:
    """The files under plain names, each once, whatever the file system: two savers may write the same one."""
    named: dict[str, OutputFile] = {}
    for file in files:
        base = re.split(r"[/\\]", file.filename)[-1]
        path = PurePosixPath(re.sub(r"[^\w.() -]", "_", base).strip(". ") or "output")
        name, number = path.name, 2
        while name.lower() in named:
            name, number = f"{path.stem}_{number}{path.suffix}", number + 1
        named[name.lower()] = replace(file, filename=name)
    return list(named.values())
