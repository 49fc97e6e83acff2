"""What nodes say they made, as history and `executed` messages have it: files, texts, and what is neither.

A node may say whatever it likes, so each entry is taken where it is understood and counted where it is not.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

LONGEST_NAME = 255
LONGEST_PATH = 4096
MAX_LEVELS = 4
_NO_CONTENT = ("animated",)  # keys that say something about the other ones


@dataclass(frozen=True)
class SavedFile:
    """A file that a node saved, as history names it."""

    node_id: str
    filename: str
    subfolder: str
    folder: str
    """`output` or `temp`"""
    animated: bool


@dataclass(frozen=True)
class Text:
    """A text that a node shows."""

    node_id: str
    text: str


@dataclass(frozen=True)
class Outputs:
    """All that a prompt's nodes made, in order."""

    files: tuple[SavedFile, ...] = ()
    texts: tuple[Text, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    """What is neither, as (node's id, key)."""


def read(outputs: object) -> Outputs:
    """Every file, once, and text in history's `outputs`, whatever key its node chose (images, gifs, ...), in order."""
    found = [entry for node_id, output in _items(outputs) for entry in _read_node(node_id, output)]
    return Outputs(
        tuple(dict.fromkeys(entry for entry in found if isinstance(entry, SavedFile))),
        tuple(entry for entry in found if isinstance(entry, Text)),
        tuple(dict.fromkeys(entry for entry in found if isinstance(entry, tuple))),
    )


def _read_node(node_id: str, output: object) -> Iterator[SavedFile | Text | tuple[str, str]]:
    animated = _is_animated(output)
    if not isinstance(output, Mapping):
        yield (node_id, "")
    for key, value in _items(output):
        if key in _NO_CONTENT or value is None:
            continue
        for entry in _flat(value):
            yield _read_entry(node_id, entry, animated) or (node_id, key)


def _flat(value: object, levels: int = MAX_LEVELS) -> Iterator[object]:
    """What a node has under a key, one by one, also from lists in lists and from objects that name no file."""
    inner: Iterable[object] = ()
    if isinstance(value, (list, tuple)):
        inner = value
    elif isinstance(value, Mapping) and "filename" not in value:
        inner = value.values() if any(isinstance(item, (Mapping, list, tuple)) for item in value.values()) else ()
    if not inner or not levels:
        yield value
    for item in inner if levels else ():
        yield from _flat(item, levels - 1)


def _read_entry(node_id: str, entry: object, animated: bool) -> SavedFile | Text | None:
    if isinstance(entry, str):
        return Text(node_id, entry)
    if not isinstance(entry, Mapping):
        return None
    names = [entry.get("filename"), entry.get("subfolder") or "", entry.get("type") or "output"]
    if not all(isinstance(name, str) for name in names):
        return None
    filename, subfolder, folder = map(str, names)
    if not 0 < len(filename) <= LONGEST_NAME or len(subfolder) > LONGEST_PATH or "\0" in filename + subfolder:
        return None
    return SavedFile(node_id, filename, subfolder, folder, animated)


def _is_animated(output: object) -> bool:
    value = output.get("animated") if isinstance(output, Mapping) else None
    return value is True or (isinstance(value, (list, tuple)) and any(entry is True for entry in value))


def _items(value: object) -> list[tuple[str, object]]:
    return [(str(key), item) for key, item in value.items()] if isinstance(value, Mapping) else []
