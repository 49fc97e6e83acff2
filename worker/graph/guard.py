"""What a caller's workflow may do: which classes it may use, and which files their inputs may name.

Classes are allowed, not refused, by name: those of ComfyUI's release were looked through (classes.json has them, with
each input that takes a value of the caller's), and those of node packs are the operator's choice. What an input names
is judged by the input's own name, whatever the class.
"""

import functools
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from worker.input.request import leaves_folder

ANY = "*"
PREFIX = "filename_prefix"
"""The input that says where a saver writes; it is replaced in every node."""
_FILE_WORD = re.compile(
    "audios?|dirs?|director(?:y|ies)|file(?:names?|paths?|s)?|folders?|images?|latents?|masks?|model|paths?|recording|state"
    "|ur[il]s?|videos?"
)
"""An input with such a word in its name can name a file."""
_TEXT_MAKERS = re.compile(r"Primitive|String|Regex|Case|Json|Custom|Convert|Switch|SoftSwitch|CreateList|Text|Preview")
"""Classes of the release whose output can be a text: a link from one into a file's name brings one that nobody saw."""
_ANNOTATION = re.compile(r"\[(?!input\])\w+\]\s*$")
_NAME_TYPES = ("COMBO", "STRING", "WEBCAM", "AUDIO_RECORD")


@dataclass(frozen=True)
class Rules:
    """Which classes of nodes a caller's workflow may use."""

    allow: Collection[str] = ()
    """Patterns; none: the release's classes and those of installed node packs. `*`: any."""
    deny: Collection[str] = ()
    is_installed: Callable[[str], bool] = lambda _: True
    """Whether the operator has installed the class, which is none of the release's."""
    count_installed: Callable[[str], int | None] = lambda _: None
    """How many outputs such a class has; None: not known."""

    def count_outputs(self, class_type: str) -> int | None:
        """How many outputs a class has; None: not known."""
        if class_type in reviewed():
            count: int = _load()["outputs"].get(class_type, 1)
            return count
        return self.count_installed(class_type)

    def find_fault(self, class_type: str) -> str | None:
        """Why a node of this class may not run, with the setting that says so; None: it may."""
        if pattern := _find_match(class_type, self.deny):
            return f"its class is refused by this worker: it matches {pattern} of WORKFLOW_NODES_DENY"
        if self.allow:
            if _find_match(class_type, self.allow):
                return None
            return "its class is not among those that this worker allows (WORKFLOW_NODES_ALLOW)"
        if class_type in reviewed() or self.is_installed(class_type):
            return None
        return (
            "its class is neither one of the reviewed ones of ComfyUI's own nor one of an installed node pack; "
            "WORKFLOW_NODES_ALLOW can name it, or be * for any"
        )


def reviewed() -> Mapping[str, Mapping[str, str]]:
    """The release's classes: of each the inputs that take a value, and their types in /object_info."""
    classes: dict[str, dict[str, str]] = _load()["classes"]
    return classes


@functools.cache
def _load() -> dict[str, Any]:
    """`classes`: see `reviewed`; `outputs`: how many outputs a class has, where it is not one."""
    content: dict[str, Any] = json.loads((Path(__file__).parent / "classes.json").read_text(encoding="utf-8"))
    return content


def is_file_like(name: str) -> bool:
    """Whether an input of this name can name a file or a folder: `image2`, `video_path`, `saveDir`."""
    words = re.split(r"[\W_\d]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())
    return any(_FILE_WORD.fullmatch(word) for word in words)


def takes_file_name(class_type: str, name: str) -> bool:
    """Whether that input of the release's class is a file's name, not what a node has made of a file."""
    kind = reviewed().get(class_type, {}).get(name, "")
    return is_file_like(name) and kind.split(" ")[0].split(",")[0] in _NAME_TYPES


def find_file_fault(node: Mapping[str, Any], name: str, nodes: Mapping[str, Any]) -> str | None:
    """Why that input of a node may not be what it is; None: it may, or can name no file."""
    if not is_file_like(name):
        return None
    value, is_name = node["inputs"][name], takes_file_name(node["class_type"], name)
    source = _source(value, nodes)
    if source and (is_name or _TEXT_MAKERS.match(source)):
        return "must be written in the node itself, as a file of ComfyUI's input folder: it comes from another node"
    faults = (leaves_folder(text) or "://" in text or _ANNOTATION.search(text) for text in _texts(value))
    if (is_name and not isinstance(value, str)) or any(faults):
        return "must name a file of ComfyUI's input folder, without leading /, .., address or [folder]"
    return None


def _texts(value: object) -> Iterator[str]:
    """Every text in a value: in an object ComfyUI may look for what it wraps."""
    if isinstance(value, str):
        yield value
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        yield from _texts(child)


def _source(value: object, nodes: Mapping[str, Any]) -> str:
    """The class of the node that a link comes from; empty: it is no link."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and value[0] in nodes:
        return str(nodes[value[0]]["class_type"])
    return ""


def _find_match(class_type: str, patterns: Collection[str]) -> str | None:
    return next((pattern for pattern in patterns if fnmatchcase(class_type, pattern)), None)
