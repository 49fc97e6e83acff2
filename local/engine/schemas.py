"""The node classes' schemas: object_info.json as ComfyUI 0.8.0 served them, and some more beside them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.engine.folders import Folders

JSON = dict[str, Any]

RECORDED = Path(__file__).with_name("object_info.json")
"""As served by a running ComfyUI 0.8.0, model lists included."""
ADDED = Path(__file__).with_name("object_info_added.json")
"""As ComfyUI 0.8.0 served them: SaveFrames of comfyui_nodes/, SplitSigmas, DisableNoise and ImageCrop. PreviewImage and
SaveAnimatedPNG were not recorded: written by us after what they were seen to do."""

# Recorded with the default models only; the engine needs none, and so has those of every preset.
_MORE_MODELS = {
    ("UNETLoader", "unet_name"): [
        "hunyuanvideo1.5_480p_i2v_step_distilled_fp8_scaled.safetensors",
        "hunyuanvideo1.5_1080p_sr_distilled_fp8_scaled.safetensors",
    ],
    ("LatentUpscaleModelLoader", "model_name"): ["hunyuanvideo15_latent_upsampler_1080p.safetensors"],
}


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
        return self.options.get("options", []) if self.kind == "COMBO" else None

    @property
    def type_name(self) -> str:
        """What a link's type must be."""
        return "COMBO" if isinstance(self.kind, list) else str(self.kind)

    @property
    def config(self) -> list[Any]:
        """As it stands in error messages."""
        return [self.kind, self.options]


class Schemas:
    """What nodes there are; LoadImage's list is live."""

    def __init__(
        self, folders: Folders, missing_models: tuple[str, ...] = (), missing_nodes: tuple[str, ...] = ()
    ) -> None:
        self._folders = folders
        present = {name: schema for name, schema in read().items() if name not in missing_nodes}
        self._schemas: JSON = _without(present, set(missing_models))

    def __contains__(self, class_type: object) -> bool:
        return isinstance(class_type, str) and class_type in self._schemas

    def everything(self) -> JSON:
        """All of /object_info."""
        self._schemas["LoadImage"]["input"]["required"]["image"][0] = self._folders.uploads()
        return self._schemas

    def node(self, class_type: str) -> JSON:
        """/object_info of one class: {} for one that does not exist."""
        return {name: schema for name, schema in self.everything().items() if name == class_type}

    def inputs(self, class_type: str) -> Iterator[Input]:
        """The class's inputs, the required ones first."""
        groups: Mapping[str, JSON] = self._schemas[class_type]["input"]
        for group in ("required", "optional"):
            for name, config in groups.get(group, {}).items():
                yield Input(name, group == "required", config[0], config[1] if len(config) > 1 else {})

    def outputs(self, class_type: str) -> list[str]:
        """The types of the class's output slots."""
        types: list[str] = self._schemas[class_type]["output"]
        return types

    def is_output(self, class_type: str) -> bool:
        """Whether the class is one that a prompt is run for."""
        return bool(self._schemas[class_type]["output_node"])


def read() -> JSON:
    """Every class's schema, with the models of every preset."""
    schemas: JSON = {**json.loads(RECORDED.read_text()), **json.loads(ADDED.read_text())}
    for (class_type, name), models in _MORE_MODELS.items():
        kind, *options = schemas[class_type]["input"]["required"][name]
        (kind if isinstance(kind, list) else options[0]["options"]).extend(models)
    return schemas


def _without(value: Any, names: set[str]) -> Any:
    """The JSON value with these strings left out of every list."""
    if isinstance(value, dict):
        return {key: _without(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_without(item, names) for item in value if not (isinstance(item, str) and item in names)]
    return value
