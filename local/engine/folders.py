"""ComfyUI's three folders: which file a name means, what an upload is stored as, what an output is called."""

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

_ANNOTATION = re.compile(r"^(.*?)\s?\[(input|output|temp)\]$", re.DOTALL)


class OutsideFolder(Exception):
    """A name leads out of the folder it belongs in."""


@dataclass(frozen=True)
class OutputName:
    """Where a saver writes: stem_00001_.png, stem_00002_.png and on, from `counter`."""

    folder: Path
    stem: str
    counter: int
    kind: str
    subfolder: str

    def file(self, extension: str, offset: int = 0) -> str:
        """The name of the offset-th file."""
        return f"{self.stem}_{self.counter + offset:05}_.{extension}"

    def entry(self, name: str) -> dict[str, str]:
        """How a saved file stands in a node's output."""
        return {"filename": name, "subfolder": self.subfolder, "type": self.kind}


class Folders:
    """input/, output/ and temp/ under one home."""

    def __init__(self, home: Path) -> None:
        self._folders = {kind: home.resolve() / kind for kind in ("input", "output", "temp")}
        for folder in self._folders.values():
            folder.mkdir(parents=True, exist_ok=True)

    def folder(self, kind: str) -> Path | None:
        """The folder of that kind, if there is such a kind."""
        return self._folders.get(kind)

    def uploads(self) -> list[str]:
        """The files LoadImage offers: those directly in input/."""
        return sorted(path.name for path in self._folders["input"].iterdir() if path.is_file())

    def locate(self, name: str) -> Path:
        """The file that a loader's value means; raises OutsideFolder, also where a link leads out."""
        name, kind = split_annotation(name)
        root = self._folders[kind or "input"]
        return inside(root, name, follow=True)

    def has(self, name: str) -> bool:
        """Whether a loader's value names a file."""
        try:
            return self.locate(name).exists()
        except OutsideFolder:
            return False

    def view(self, filename: str, kind: str, subfolder: str) -> Path:
        """The file a /view request means; raises OutsideFolder or KeyError (no such kind)."""
        filename, annotated = split_annotation(filename)
        return inside(self._folders[annotated or kind], subfolder) / Path(filename).name

    def store(self, data: bytes, filename: str, kind: str, subfolder: str, overwrite: bool) -> str:
        """Write an upload and return the name it got: a taken name with other bytes in it is numbered."""
        root = self._folders[kind]
        path = inside(root, f"{os.path.normpath(subfolder)}/{filename}")
        inside(root, subfolder).mkdir(parents=True, exist_ok=True)
        name, number = filename, 0
        while not overwrite and path.exists():
            if path.read_bytes() == data:
                return name
            number += 1
            name = f"{filename.removesuffix(path_suffix(filename))} ({number}){path_suffix(filename)}"
            path = path.with_name(Path(name).name)
        path.write_bytes(data)
        return name

    def reserve(self, prefix: str, kind: str, width: int, height: int) -> OutputName:
        """Make the prefix's folder and find the next free number in it; raises OutsideFolder."""
        root = self._folders[kind]
        subfolder, stem = os.path.split(os.path.normpath(_fill(prefix, width, height)))
        try:
            folder = inside(root, subfolder, follow=True)
        except OutsideFolder as error:
            raise OutsideFolder(
                f"**** ERROR: Saving image outside the output folder is not allowed.\n {error}"
            ) from None
        folder.mkdir(parents=True, exist_ok=True)
        taken = (_number(path.name, stem) for path in folder.iterdir())
        return OutputName(folder, stem, max(taken, default=0) + 1, kind, subfolder)


def split_annotation(name: str) -> tuple[str, str | None]:
    """'a.png [output]' -> ('a.png', 'output')."""
    match = _ANNOTATION.match(name)
    return (match[1], match[2]) if match else (name, None)


def inside(root: Path, relative: str, follow: bool = False) -> Path:
    """The path under root, judged by its spelling, with `follow` by where links lead too; raises OutsideFolder."""
    path = Path(os.path.normpath(root / relative))
    if not path.is_relative_to(root) or (follow and not path.resolve().is_relative_to(root)):
        raise OutsideFolder(f"{relative} is not in {root.name}")
    return path


def path_suffix(filename: str) -> str:
    """The last extension with its dot, or nothing."""
    return Path(filename).suffix


def _number(name: str, stem: str) -> int:
    match = re.match(rf"{re.escape(stem)}_(\d+)(?:_|$)", name)
    return int(match[1]) if match else 0


def _fill(prefix: str, width: int, height: int) -> str:
    values = {"width": str(width), "height": str(height)}
    now = time.localtime()
    for name, code in (("year", "%Y"), ("month", "%m"), ("day", "%d"), ("hour", "%H"), ("minute", "%M")):
        values[name] = time.strftime(code, now)
    values["second"] = time.strftime("%S", now)
    for name, value in values.items():
        prefix = prefix.replace(f"%{name}%", value)
    return prefix
