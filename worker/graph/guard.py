"""What a caller's workflow may do: which classes it may use, and which files their inputs may name.

Classes are allowed, not refused, by name: those of ComfyUI's release were looked through (classes.json has them, with
each input that takes a value of the caller's), and those of node packs are the operator's choice. What an input names
is judged by the input's own name, whatever the class.
"""

import functools
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
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
_TEXT = re.compile(r"\*|STRING|COMBO|MATCHTYPE")
"""Types of outputs that can be a text: a link from one into a file's name brings one that nobody saw."""
_THINGS = ("IMAGE", "MASK", "LATENT", "MODEL", "VIDEO", "AUDIO")
_POWER = re.compile(r"\*\*(?!\s*-?(?:\d{1,3}(?:\.\d{1,3})?|\.\d{1,3})(?![\w.*]|\s*\*\*))")
"""A power whose exponent may be more than 999: a few of them keep Python, and with it ComfyUI, busy for hours."""
MAX_EXPRESSION = 1000
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
    outputs_of: Callable[[str], Sequence[str] | None] = lambda _: None
    """The types of such a class's outputs; None: not known."""
    inputs_of: Callable[[str], Mapping[str, str]] = lambda _: {}
    """The types of such a class's inputs, by name."""

    def count_outputs(self, class_type: str) -> int | None:
        """How many outputs a class has; None: not known."""
        if class_type in reviewed():
            count: int = _load()["outputs"].get(class_type, 1)
            return count
        types = self.outputs_of(class_type)
        return None if types is None else len(types)

    def may_bring_text(self, link: object, nodes: Mapping[str, Any]) -> bool:
        """Whether that link may end in a text, also through nodes that pass on whatever they get."""
        links, seen = [link], set()
        while links:
            link = links.pop()
            if not (isinstance(link, list) and len(link) == 2 and isinstance(link[0], str) and link[0] in nodes):
                continue
            node = nodes[link[0]]
            if node["class_type"] not in _load()["passes"]:
                if self._makes_text(node["class_type"], link[1]):
                    return True
            elif link[0] not in seen:
                seen.add(link[0])
                values = node["inputs"].values()
                if any(isinstance(value, str) for value in values):
                    return True
                links.extend(values)
        return False

    def _makes_text(self, class_type: str, slot: object) -> bool:
        count = self.count_outputs(class_type)
        if count is None:
            return False  # ComfyUI does not have it, and runs nothing of the graph
        if not isinstance(slot, int) or slot not in range(-count, count):
            return True
        if class_type in reviewed():
            return slot % count in _load()["texts"].get(class_type, ())
        types = self.outputs_of(class_type)
        return types is None or bool(_TEXT.search(types[slot]))

    def takes_a_thing(self, class_type: str, name: str) -> bool:
        """Whether that input is an image or the like, made by a node: a text in it would open no file."""
        if class_type in reviewed():
            return name in _load()["things"].get(class_type, ())
        return self.inputs_of(class_type).get(name) in _THINGS

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
    """`classes`: see `reviewed`; `outputs`: how many a class has, where it is not one; `texts`: which of them
    are texts; `things`: inputs that sound like files and are images or the like; `passes`: classes that pass on what
    they get.
    """
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


def find_file_fault(node: Mapping[str, Any], name: str, nodes: Mapping[str, Any], rules: Rules) -> str | None:
    """Why that input of a node may not be what it is; None: it may, or can name no file."""
    if not is_file_like(name):
        return None
    value, is_name = node["inputs"][name], takes_file_name(node["class_type"], name)
    is_open = not rules.takes_a_thing(node["class_type"], name)
    if (is_open and rules.may_bring_text(value, nodes)) or (is_name and isinstance(value, list)):
        return "must be written in the node itself, as a file of ComfyUI's input folder: it comes from another node"
    faults = (leaves_folder(text) or "://" in text or _ANNOTATION.search(text) for text in _texts(value))
    if (is_name and not isinstance(value, str)) or any(faults):
        return "must name a file of ComfyUI's input folder, without leading /, .., address or [folder]"
    return None


def find_expression_fault(node: Mapping[str, Any]) -> str | None:
    """Why a formula may not run: ComfyUI evaluates it in Python, which no clock and no cancel ends."""
    if node["class_type"] != "ComfyMathExpression" or "expression" not in node["inputs"]:
        return None
    value = node["inputs"]["expression"]
    if not isinstance(value, str) or len(value) > MAX_EXPRESSION:
        return f"must be written in the node itself, with at most {MAX_EXPRESSION} characters"
    if _POWER.search(value) or len(re.findall(r"\bpow\b", value)) > 1 or re.search(r"['\"`{}\\]", value):
        return "may hold no text, one pow at most, and ** only with a number up to 999 behind it"
    return None


def _texts(value: object) -> Iterator[str]:
    """Every text in a value: in an object ComfyUI may look for what it wraps."""
    if isinstance(value, str):
        yield value
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        yield from _texts(child)


def _find_match(class_type: str, patterns: Collection[str]) -> str | None:
    return next((pattern for pattern in patterns if fnmatchcase(class_type, pattern)), None)
