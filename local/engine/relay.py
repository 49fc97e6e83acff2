"""What a class gives that nothing here plays in particular: its inputs handed on, or a stand-in made of them."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from local.engine.pictures import Batch, Latent, blank, develop, empty_latent
from local.engine.schemas import JSON, Input

Outputs = tuple[Any, ...]


@dataclass(frozen=True)
class Conditioning:
    """A text prompt."""

    text: str


def relay(inputs: Sequence[Input], outputs: Sequence[str], values: JSON) -> Outputs:
    """One value for each output: the input of its type, the n-th for the n-th such output; else one made of `values`.

    So a LoRA hands its model on, positive and negative pass a conditioning node side by side, and an encoder, which has
    no input of what it gives, makes it from what it has.
    """
    given: dict[str, list[Any]] = defaultdict(list)
    for entry in inputs:
        if values.get(entry.name) is not None:
            given[entry.type_name].append(values[entry.name])
    seen: Counter[str] = Counter()
    made = []
    for kind in outputs:
        same = given[kind]
        made.append(same[min(seen[kind], len(same) - 1)] if same else _MAKERS.get(kind, dict)(values))
        seen[kind] += 1
    return tuple(made)


def _find(kind: type, values: JSON) -> Any:
    return next((value for value in values.values() if isinstance(value, kind)), None)


def _write(values: JSON) -> Conditioning:
    texts = [value for name, value in values.items() if (isinstance(value, str) and "text" in name) or name == "prompt"]
    return Conditioning(" ".join(texts) or " ".join(value for value in values.values() if isinstance(value, str)))


def _guide(values: JSON) -> Conditioning:
    return _find(Conditioning, values) or Conditioning("")


def _empty(values: JSON) -> Latent:
    """As large as the inputs say, or as the pictures to encode."""
    pictures, clips = _find(Batch, values), values.get("batch_size", 1)
    first = pictures.draw(0) if pictures else None
    if "width" in values and "height" in values:
        return empty_latent(values["width"], values["height"], values.get("length"), clips, first)
    size, length = (pictures.size, pictures.length) if pictures else ((512, 512), 1)
    return Latent(size[0] // 8 * 8, size[1] // 8 * 8, length, clips, first)


def _draw(values: JSON) -> Batch:
    latent = _find(Latent, values)
    if latent:
        return develop(latent)
    size = (values.get("width", 64), values.get("height", 64))
    return _find(Batch, values) or blank(size, values.get("batch_size", 1))


def _count_steps(values: JSON) -> int:
    return int(values.get("steps", 20)) if values.get("denoise", 1.0) > 0 else 0


_MAKERS: Mapping[str, Callable[[JSON], Any]] = {
    "AUDIO": lambda values: None,
    "CONDITIONING": _write,
    "GUIDER": _guide,
    "IMAGE": _draw,
    "LATENT": _empty,
    "MASK": _draw,
    "NOISE": lambda values: values.get("noise_seed"),  # noise is its seed, and none for DisableNoise
    "SIGMAS": _count_steps,
    "STRING": lambda values: str(next(iter(values.values()), "")),
}
"""Everything else, models above all, stands for itself by the values that name it."""
