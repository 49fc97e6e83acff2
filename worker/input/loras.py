"""LoRAs of a request: small files that change the diffusion model, by their names in ComfyUI's models/loras."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

from worker.input.faults import cut, invalid_input

MAX_LORAS = 8
MAX_STRENGTH = 10
SHOWN = 20
LONGEST_NAME = 300
SUFFIX = ".safetensors"
_WITH_STRENGTH = re.compile(r"(.+?)\s*:\s*(-?\d+(?:\.\d+)?)\s*", re.DOTALL)


class Lora(BaseModel):
    """A LoRA and how strongly it is applied."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        validation_alias=AliasChoices("name", "path", "lora_name"),
        pattern=r"\S",
        max_length=255,
        description="The file in models/loras; its suffix may be left out.",
    )
    strength: float = Field(
        1.0,
        ge=-MAX_STRENGTH,
        le=MAX_STRENGTH,
        allow_inf_nan=False,
        validation_alias=AliasChoices("strength", "weight", "scale"),
        description="How strongly it is applied: 1 as it was trained, 0 not at all.",
    )

    @model_validator(mode="before")
    @classmethod
    def _take_name_alone(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        named = _WITH_STRENGTH.fullmatch(value) if len(value) < LONGEST_NAME else None
        return {"name": named[1], "strength": named[2]} if named else {"name": value}


@dataclass(frozen=True)
class Pairs:
    """What `lora_pairs` became: entries of `loras`, or why they cannot be."""

    loras: list[dict[str, Any]]
    fault: str | None = None


def read_pairs(pairs: object) -> Pairs:
    """Read other workers' lists of {"high", "low", "high_weight", "low_weight"}.

    They are for models of two parts. HunyuanVideo has one, so that both halves of a pair must say the same.
    """
    if not isinstance(pairs, list) or not all(isinstance(pair, dict) for pair in pairs):
        return Pairs([], 'must be a list of objects {"high", "high_weight"}; better send loras')
    loras = []
    for number, pair in enumerate(pairs):
        halves = [(pair[half], pair.get(f"{half}_weight", 1.0)) for half in ("high", "low") if pair.get(half)]
        if not halves or halves[0] != halves[-1]:
            what = "has neither high nor low" if not halves else "has a high and a low LoRA that differ"
            return Pairs([], f"entry {number + 1} {what}: this model has one part; send loras instead")
        loras.append({"name": halves[0][0], "strength": halves[0][1]})
    return Pairs(loras)


def choose(loras: Sequence[Lora], listed: Sequence[str], *, any_file: bool) -> tuple[Lora, ...]:
    """The LoRAs under the names that ComfyUI lists; raises InvalidInput naming those that it does not have.

    A name may lack its folder and its suffix, where only one file is meant. any_file: it lists none because it has no
    use for any, as a stand-in.
    """
    if any_file and not listed:
        return tuple(_complete(lora) for lora in loras)
    found, faults = [], {}
    for number, lora in enumerate(loras):
        matches = _match(lora.name, listed)
        if len(matches) == 1:
            found.append(lora.model_copy(update={"name": matches[0]}))
        else:
            faults[f"loras[{number}].name"] = _explain(lora.name, matches, listed)
    if faults:
        raise invalid_input(faults)
    return tuple(found)


def _complete(lora: Lora) -> Lora:
    return lora if PurePosixPath(lora.name).suffix else lora.model_copy(update={"name": lora.name + SUFFIX})


def _match(name: str, listed: Sequence[str]) -> list[str]:
    """The file of that name; without one, every file whose path ends in it, suffix aside."""
    wanted = _plain(name)
    spellings: list[Callable[[PurePosixPath], PurePosixPath]] = [
        lambda path: path,
        lambda path: path.with_suffix(""),
        lambda path: PurePosixPath(path.name),
        lambda path: PurePosixPath(path.stem),
    ]
    for spell in spellings:
        if matches := [file for file in listed if spell(_plain(file)) == wanted]:
            return matches
    return []


def _plain(name: str) -> PurePosixPath:
    """A ComfyUI on Windows, and people there, write backslashes."""
    return PurePosixPath(name.strip().replace("\\", "/"))


def _explain(name: str, matches: Sequence[str], listed: Sequence[str]) -> str:
    if matches:
        return f"is ambiguous: {' or '.join(map(cut, matches[:SHOWN]))}: send its folder too"
    if not listed:
        return f"this endpoint has no LoRA {cut(name)!r}, nor any other: the operator adds them in models/loras"
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return f"this endpoint has no LoRA {cut(name)!r}; it has {', '.join(map(cut, listed[:SHOWN]))}{more}"
