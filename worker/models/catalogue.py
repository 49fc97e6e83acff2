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

    @property
    def path(self) -> Path:
        """The file below a models folder."""
        return Path(self.folder, self.name)


def load(sets: Sequence[str], urls: Mapping[str, str], path: Path = CATALOGUE) -> tuple[ModelFile, ...]:
    """Read the files of the sets named, in the graph's order; `urls`: by variable, URLs that replace them."""
    tables = tomli.loads(path.read_text(encoding="utf-8"))
    unknown = [name for name in sets if name not in tables]
    if unknown or not sets:
        raise ConfigError(f"MODELS={','.join(sets)!r} must name sets of {path.name}: {', '.join(sorted(tables))}")
    return tuple(_model_file(entry, urls) for name in sets for entry in tables[name])


def _model_file(entry: Mapping[str, Any], urls: Mapping[str, str]) -> ModelFile:
    replaced = urls.get(entry["variable"])
    return ModelFile(
        name=entry["name"],
        folder=entry["folder"],
        url=replaced or entry["url"],
        published_url=entry["url"],
        size=None if replaced else entry["bytes"],
        tensor=entry["tensor"],
    )
