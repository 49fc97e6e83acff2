"""A file that a job saved: what it is by its name, and names that any file system and caller can take."""

import mimetypes
import re
from collections.abc import Iterable
from dataclasses import dataclass
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
        guessed = mimetypes.guess_type(f"file{self.suffix}")[0] or "application/octet-stream"
        return MIME_TYPES.get(self.suffix, guessed)

    @property
    def kind(self) -> str:
        """The `type` of its entry: "video", "image", "text", or "file" (sound, latents, saved texts)."""
        if self.shown:
            return "text"
        main = self.mime_type.partition("/")[0]
        return main if main in ("video", "image") else "file"

    @property
    def still(self) -> bool:
        """Whether it is a picture that may be encoded again."""
        return self.kind == "image" and not self.animated and self.suffix not in _MOVING_SUFFIXES

    @property
    def finished(self) -> bool:
        """Whether it is no mere preview wherever it lies: nobody previews a still as a video or as sound."""
        return self.mime_type.partition("/")[0] in ("video", "audio")

    @property
    def suffix(self) -> str:
        """The suffix in lower case, with its dot."""
        return PurePosixPath(self.filename).suffix.lower()


@dataclass(frozen=True)
class Item:
    """A file to store. `key`: its path in the place, with slashes."""

    key: str
    data: bytes
    mime_type: str


def name_uniquely(filenames: Iterable[str]) -> list[str]:
    """Plain file names, each once, whatever the file system: two savers may write the same name to two folders."""
    names: dict[str, str] = {}
    for filename in filenames:
        base = re.split(r"[/\\]", filename)[-1]
        path = PurePosixPath(re.sub(r"[^\w.() -]", "_", base).strip(". ") or "output")
        name, number = path.name, 2
        while name.lower() in names:
            name, number = f"{path.stem}_{number}{path.suffix}", number + 1
        names[name.lower()] = name
    return list(names.values())
