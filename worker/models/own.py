"""The model files that MODEL_SETS brings: the worker's, and the owner's own of a models.toml (docs/MODELS.md)."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import tomli
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from worker import catalogue
from worker.catalogue import ModelFile
from worker.config import HTTP, NO_SETS, ModelSettings
from worker.errors import ConfigError
from worker.models.volume import leaves

FILE_NAME = "models.toml"
PATTERNS = {"url": "an http:// or https:// URL", "sha256": "64 hexadecimal digits"}


def _stay_inside(path: str) -> str:
    if leaves(path):
        raise ValueError("must be a path below a models folder, without .. and backslashes")
    return path


Below = Annotated[str, AfterValidator(_stay_inside)]


class OwnFile(BaseModel):
    """A file that the owner adds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Below
    folder: Below
    url: str = Field(pattern=HTTP["pattern"])
    sha256: str | None = Field(None, pattern=r"^[0-9a-fA-F]{64}$")

    def model(self) -> ModelFile:
        """The file as the worker brings it: of any kind and size."""
        return ModelFile(self.name, self.folder, self.url, self.url, size=None, tensor="", sha256=self.sha256)


class OwnModels(BaseModel):
    """The content of models.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: tuple[OwnFile, ...] = ()
    sets: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)


def chosen(settings: ModelSettings) -> tuple[ModelFile, ...]:
    """The files that MODEL_SETS brings, the worker's first; raises ConfigError for unknown sets or a bad list."""
    own = read(settings)
    wanted = [name for name in settings.sets if name != NO_SETS]
    known = [NO_SETS, *catalogue.MODEL_SETS, *own.sets]
    if not settings.sets or set(wanted) - set(known):
        raise ConfigError(f"MODEL_SETS={','.join(settings.sets)!r} must name sets, which are {', '.join(known)}")
    in_sets = {name for names in own.sets.values() for name in names}
    names = {name for one in wanted for name in own.sets.get(one, ())}
    built_in = [name for name in wanted if name in catalogue.MODEL_SETS]
    names |= {model.name for model in catalogue.load(built_in, settings.urls)} if built_in else set()
    shipped = [model for model in catalogue.load(catalogue.MODEL_SETS, settings.urls) if model.name in names]
    added = [file.model() for file in own.file if file.name in names or file.name not in in_sets]
    return (*shipped, *added)


def place(settings: ModelSettings) -> Path:
    """Where models.toml is, or would be."""
    return settings.own or settings.volume / FILE_NAME


def read(settings: ModelSettings) -> OwnModels:
    """The owner's files and sets, none where there is no models.toml; raises ConfigError naming what is wrong in it."""
    path = place(settings)
    try:
        content = tomli.loads(path.read_bytes().decode())
        own = OwnModels.model_validate(content)
    except FileNotFoundError:
        if settings.own:
            raise ConfigError(f"MODELS_FILE={path}: there is no such file") from None
        return OwnModels()
    except ValidationError as error:
        raise ConfigError(f"{path}: {explain(error)}") from None
    except (OSError, ValueError) as error:  # a TOMLDecodeError is a ValueError
        raise ConfigError(f"{path} cannot be read: {error}") from error
    if fault := _find_fault(own):
        raise ConfigError(f"{path}: {fault}")
    return own


def add(file: OwnFile, settings: ModelSettings) -> Path:
    """Write a file's entry into models.toml and return where that is; raises ConfigError."""
    path, own = place(settings), read(settings) if place(settings).exists() else OwnModels()
    if fault := _find_fault(OwnModels(file=(*own.file, file), sets=own.sets)):
        raise ConfigError(f"{path}: {fault}")
    # A JSON string is a TOML string, but for pairs of surrogates.
    fields = [
        f"{name} = {json.dumps(value, ensure_ascii=False)}"
        for name, value in file.model_dump(exclude_none=True).items()
    ]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as toml:
            toml.write(("\n".join(["\n[[file]]", *fields]) + "\n").encode())
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
    return path


def _find_fault(own: OwnModels) -> str | None:
    """What is wrong with files and sets that are well formed."""
    shipped = {model.name: model for model in catalogue.load(catalogue.MODEL_SETS, {})}
    names = [file.name for file in own.file]
    if twice := next((name for number, name in enumerate(names) if name in [*shipped, *names[:number]]), None):
        return f"two files are named {twice}" + (": replace the worker's URL by a setting" if twice in shipped else "")
    if taken := next((name for name in own.sets if name in (*catalogue.MODEL_SETS, NO_SETS)), None):
        return f"the set {taken} is the worker's: choose another name"
    for name, files in own.sets.items():
        if missing := [file for file in files if file not in {*shipped, *names}]:
            return f"the set {name} names {', '.join(missing)}, which no [[file]] has"
    return None


def explain(error: ValidationError) -> str:
    """The first fault of an entry, with its place: file 2: url: ..."""
    fault: Any = error.errors(include_url=False)[0]
    place: Sequence[Any] = fault["loc"]
    where = [f"file {part + 1}" if isinstance(part, int) else str(part) for part in place if part != "file"]
    if fault["type"] == "string_pattern_mismatch":
        return ": ".join([*where, f"must be {PATTERNS[where[-1]]}"])
    return ": ".join([*where, fault["msg"].removeprefix("Value error, ")])
