"""What a worker can offer: the presets, graph options, model files and sets of catalogue.toml."""

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tomli

from worker.errors import ConfigError, ModelMissing

CATALOGUE = Path(__file__).with_suffix(".toml")


@dataclass(frozen=True)
class ModelFile:
    """One file that ComfyUI loads."""

    name: str
    folder: str
    """ComfyUI's folder for this kind of model, below models/."""
    url: str
    published_url: str
    """Where the publisher has it, also when a setting names another URL."""
    size: int | None
    """The published size in bytes; None when the URL was replaced."""
    tensor: str
    """A tensor of every model of this kind has a name with this end; empty: of any kind."""
    about: bool = False
    """The size is known about: for what needs room, not for a comparison."""
    sha256: str | None = None
    """What a download must have, where that is known."""

    @property
    def path(self) -> Path:
        """The file below a models folder."""
        return Path(self.folder, self.name)

    def __str__(self) -> str:
        """The file's place and size."""
        if not self.size:
            return str(self.path)
        size = f"{self.size / 1e9:.1f} GB" if self.size >= 1e8 else f"{self.size / 1e6:.0f} MB"
        return f"{self.path} ({'about ' if self.about else ''}{size})"


@dataclass(frozen=True)
class Preset:
    """What a job gets for the fields that its input leaves out."""

    model: str
    """The diffusion model's file."""
    steps: int
    cfg: float
    shift: float
    upscale: str
    """The one of UPSCALES that goes on from what it samples."""
    upscaled: bool = False
    """It does so unasked."""
    resolution: str | None = None
    """The trained sizes to choose from; None: the fields' own width and height."""

    def complete(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a job's input, with the preset's where none is given."""
        fields: dict[str, Any] = {"steps": self.steps, "cfg": self.cfg, "shift": self.shift}
        if self.resolution and not given.keys() & {"width", "height"}:
            fields["resolution"] = self.resolution
        if self.upscaled:
            fields["upscale"] = self.upscale
        return {**fields, **given}

    @property
    def models(self) -> tuple[str, ...]:
        """The files that no other preset's set need have: its own model, and the upscaler's where it comes unasked."""
        return (self.model, UPSCALES[self.upscale].model) if self.upscaled else (self.model,)


@dataclass(frozen=True)
class Upscale:
    """What samples a clip again at a larger size."""

    upsampler: str
    """The file of the model that makes a latent larger."""
    model: str
    """The file of the super-resolution model."""
    steps: int
    split: int
    """So many of its steps see the smaller clip."""


@dataclass(frozen=True)
class GraphOption:
    """A change in the worker's own graphs, as a node."""

    place: Literal["model", "decoder"]
    """Behind the model's loader, or instead of the decoder."""
    class_type: str
    title: str
    inputs: Mapping[str, Any]


@functools.cache
def _read(path: Path = CATALOGUE) -> dict[str, Any]:
    return tomli.loads(path.read_text(encoding="utf-8"))


PRESETS = {name: Preset(**fields) for name, fields in _read()["presets"].items()}
UPSCALES = {name: Upscale(**fields) for name, fields in _read()["upscales"].items()}
GRAPH_OPTIONS = {name: GraphOption(**fields) for name, fields in _read()["options"].items()}
MODEL_SETS = tuple(_read()["sets"])
MODEL_URLS = {entry["variable"]: entry["name"] for entry in _read()["file"]}
"""The settings that replace a file's URL, and the file's name."""


def load(sets: Sequence[str], urls: Mapping[str, str], path: Path = CATALOGUE) -> tuple[ModelFile, ...]:
    """The files of the sets named, in the graph's order; `urls`: by variable, URLs that replace them."""
    known = _read(path)["sets"]
    if not sets or not set(sets) <= set(known):
        raise ConfigError(f"MODEL_SETS={','.join(sets)!r} must name sets of {path.name}: {', '.join(known)}")
    wanted = {name for one in sets for name in known[one]}
    return tuple(_model_file(entry, urls) for entry in _read(path)["file"] if entry["name"] in wanted)


def sets_with(name: str) -> list[str]:
    """The sets that have a file of that name."""
    return [one for one, names in _read()["sets"].items() if name in names]


def find_preset_fault(name: str, sets: Collection[str]) -> str | None:
    """Why an endpoint with these model sets cannot have this preset for jobs that name none; None: it can."""
    lacking = [needed[0] for needed in map(sets_with, PRESETS[name].models) if not set(needed) & set(sets)]
    if not lacking or not set(MODEL_SETS) & set(sets):  # none of the worker's: it runs workflows
        return None
    return (
        f"DEFAULT_PRESET={name} needs the set {' and '.join(lacking)}, and MODEL_SETS is {','.join(sets)}: "
        f"add {','.join(lacking)} to it, or choose another preset"
    )


def default_preset(sets: Collection[str]) -> str:
    """The preset of jobs that name none, where nobody has chosen one: the first whose model is in the sets."""
    names: tuple[str, ...] = tuple(PRESETS)
    return next((name for name in names if not find_preset_fault(name, sets)), names[0])


def explain_missing(names: Collection[object]) -> ModelMissing | None:
    """The error for files that ComfyUI does not have; None where none of them is a model of the worker's."""
    files = [model for model in load(MODEL_SETS, {}) if model.name in names]
    if not files:
        return None
    sets = dict.fromkeys(sets_with(model.name)[0] for model in files)
    return ModelMissing(
        f"this endpoint does not have {', '.join(map(str, files))}: its operator adds {','.join(sets)} to MODEL_SETS; "
        f"until then {_other_way(list(sets))}",
        files=[str(model.path) for model in files],
    )


def _other_way(sets: Sequence[str]) -> str:
    ways = {"upscale": "leave upscale out", "smooth": "leave interpolate out", "upscale_720p": "use preset fast"}
    if set(sets) <= ways.keys():
        return " and ".join(ways[one] for one in sets)
    return "ask for another preset, or send a workflow of your own"


def _model_file(entry: Mapping[str, Any], urls: Mapping[str, str]) -> ModelFile:
    replaced = urls.get(entry["variable"])
    return ModelFile(
        name=entry["name"],
        folder=entry["folder"],
        url=replaced or entry["url"],
        published_url=entry["url"],
        size=None if replaced else entry.get("bytes", entry.get("about")),
        about="about" in entry,
        tensor=entry["tensor"],
        sha256=None if replaced else entry.get("sha256"),
    )
