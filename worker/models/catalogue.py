"""Which model files there are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli

from worker.errors import ConfigError, WorkerError

CATALOGUE = Path(__file__).parent.parent / "models.toml"


class ModelError(WorkerError):
    """A model file is missing or unfit, and nothing can replace it."""

    code = "models"


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
    """A tensor of every model of this kind has a name with this end."""
    about: bool = False
    """The size is known about: for what needs room, not for a comparison."""

    @property
    def path(self) -> Path:
        """The file below a models folder."""
        return Path(self.folder, self.name)


def load(sets: Sequence[str], urls: Mapping[str, str], path: Path = CATALOGUE) -> tuple[ModelFile, ...]:
    """Read the files of the sets named, in the graph's order; `urls`: by variable, URLs that replace them."""
    catalogue = _read(path)
    unknown = [name for name in sets if name not in catalogue["sets"]]
    if unknown or not sets:
        known = ", ".join(catalogue["sets"])
        raise ConfigError(f"MODEL_SETS={','.join(sets)!r} must name sets of {path.name}: {known}")
    wanted = {name for one in sets for name in catalogue["sets"][one]}
    return tuple(_model_file(entry, urls) for entry in catalogue["file"] if entry["name"] in wanted)


def sets_with(name: str, path: Path = CATALOGUE) -> list[str]:
    """The sets that have a file of that name."""
    return [one for one, names in _read(path)["sets"].items() if name in names]


def all_sets(path: Path = CATALOGUE) -> list[str]:
    """The names of the sets."""
    return list(_read(path)["sets"])


def _read(path: Path) -> dict[str, Any]:
    return tomli.loads(path.read_text(encoding="utf-8"))


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
    )
