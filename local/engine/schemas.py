"""The schemas of the node classes that the engine plays, and the names of ComfyUI's other ones."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from local.engine.folders import Folders

JSON = dict[str, Any]

RELEASE = "0.33.0"
RECORDED = Path(__file__).with_name("object_info.json")
"""As a running ComfyUI of that release served them, less what is for people; with the models of every preset."""
NOT_PLAYED = Path(__file__).with_name("not_played.txt")
"""The release's other classes, which the engine has no schema of."""

_MODEL_SUFFIXES = (".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf")
_UPLOADS = ("image_upload", "video_upload")
_DYNAMIC = "COMFY_DYNAMICCOMBO_V3"


@dataclass(frozen=True)
class Input:
    """One input of a node class."""

    name: str
    required: bool
    kind: Any
    """A type's name, or the list of allowed values."""
    options: JSON

    @property
    def choices(self) -> list[Any] | None:
        """The allowed values, where they are listed."""
        if isinstance(self.kind, list):
            return self.kind
        if self.kind == _DYNAMIC:
            return [option["key"] for option in self.options["options"]]
        return self.options.get("options", []) if self.kind == "COMBO" else None

    @property
    def type_name(self) -> str:
        """What a link's type must be."""
        return "COMBO" if isinstance(self.kind, list) else str(self.kind)

    @property
    def config(self) -> list[Any]:
        """As it stands in error messages."""
        return [self.kind, self.options]

    @property
    def upload(self) -> bool:
        """Whether its value names a file in input/."""
        return any(name in self.options for name in _UPLOADS)

    def takes_model(self, value: Any) -> bool:
        """Whether it names a model's file, and this is such a name: no model is here, so any file is as good."""
        listed = all(str(name).endswith(_MODEL_SUFFIXES) or name == "pixel_space" for name in self.choices or [])
        return listed and isinstance(value, str) and value.endswith(_MODEL_SUFFIXES)


class Schemas:
    """What nodes there are; the lists of uploaded files are live."""

    def __init__(
        self,
        folders: Folders,
        missing_models: tuple[str, ...] = (),
        missing_nodes: tuple[str, ...] = (),
        loras: tuple[str, ...] = (),
    ) -> None:
        self.missing_models = missing_models
        self._folders = folders
        present = {name: schema for name, schema in read().items() if name not in missing_nodes}
        self._schemas: JSON = _without(present, set(missing_models))
        for loader in ("LoraLoader", "LoraLoaderModelOnly"):
            self._schemas[loader]["input"]["required"]["lora_name"][0].extend(loras)

    def __contains__(self, class_type: object) -> bool:
        return isinstance(class_type, str) and class_type in self._schemas

    def everything(self) -> JSON:
        """All of /object_info."""
        uploads = self._folders.uploads()
        for schema in self._schemas.values():
            for config in schema["input"].get("required", {}).values():
                if len(config) > 1 and any(name in config[1] for name in _UPLOADS):
                    (config[0] if isinstance(config[0], list) else config[1]["options"])[:] = uploads
        return self._schemas

    def node(self, class_type: str) -> JSON:
        """/object_info of one class: {} for one that does not exist."""
        return {name: schema for name, schema in self.everything().items() if name == class_type}

    def inputs(self, class_type: str, values: Mapping[str, Any]) -> list[Input]:
        """The class's inputs, the required ones first, with those that a choice among `values` brings."""
        return list(expand(self._schemas[class_type]["input"], values))

    def outputs(self, class_type: str) -> list[str]:
        """The types of the class's output slots."""
        types: list[str] = self._schemas[class_type]["output"]
        return types

    def is_output(self, class_type: str) -> bool:
        """Whether the class is one that a prompt is run for."""
        return bool(self._schemas[class_type]["output_node"])


@cache
def not_played() -> frozenset[str]:
    """ComfyUI's own classes that only ComfyUI has."""
    return frozenset(NOT_PLAYED.read_text().split())


def read() -> JSON:
    """Every class's schema, with the models of every preset."""
    schemas: JSON = json.loads(RECORDED.read_text())
    return schemas


def expand(groups: Mapping[str, JSON], values: Mapping[str, Any], prefix: str = "") -> Iterator[Input]:
    """A schema's inputs, with those that the choice of a dynamic one brings, named `choice.input`."""
    for group in ("required", "optional"):
        for name, (kind, *options) in groups.get(group, {}).items():
            entry = Input(prefix + name, group == "required", kind, options[0] if options else {})
            if kind != _DYNAMIC:
                yield entry
                continue
            # A choice that is not offered makes ComfyUI forget the input: nothing is checked, and the node lacks it.
            for option in entry.options["options"]:
                if option["key"] == values.get(entry.name):
                    yield entry
                    yield from expand(option["inputs"], values, f"{entry.name}.")


def _without(value: Any, names: set[str]) -> Any:
    """A copy of the JSON value with these strings left out of every list."""
    if isinstance(value, dict):
        return {key: _without(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_without(item, names) for item in value if not (isinstance(item, str) and item in names)]
    return value
