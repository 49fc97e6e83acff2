"""Named choices between seconds and quality: a diffusion model, and what it is sampled with.

The settings are the publisher's (https://github.com/Tencent-Hunyuan/HunyuanVideo-1.5), but for the 20 steps of
`balanced`, which are those of ComfyUI's template.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from worker.models import catalogue

MODEL_720P = "hunyuanvideo1.5_720p_i2v_cfg_distilled_fp8_scaled.safetensors"
MODEL_480P_FEW_STEPS = "hunyuanvideo1.5_480p_i2v_step_distilled_fp8_scaled.safetensors"


@dataclass(frozen=True)
class Preset:
    """What a job gets for the fields that its input leaves out."""

    model: str
    """The diffusion model's file, of models.toml."""
    steps: int
    cfg: float
    shift: float
    resolution: str | None
    """The trained sizes to choose from; None: the fields' own width and height."""

    def complete(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a job's input, with the preset's where none is given."""
        fields: dict[str, Any] = {"steps": self.steps, "cfg": self.cfg, "shift": self.shift}
        if self.resolution and not given.keys() & {"width", "height"}:
            fields["resolution"] = self.resolution
        return {**fields, **given}


PRESETS = {
    "balanced": Preset(MODEL_720P, steps=20, cfg=1.0, shift=7.0, resolution=None),
    "fast": Preset(MODEL_480P_FEW_STEPS, steps=12, cfg=1.0, shift=7.0, resolution="480p"),
    "quality": Preset(MODEL_720P, steps=50, cfg=1.0, shift=7.0, resolution=None),
}
CAN_UPSCALE = tuple(name for name, preset in PRESETS.items() if preset.model == MODEL_720P)
"""The upscaler goes on from 720p."""


def find_fault(name: str, sets: Collection[str]) -> str | None:
    """Why an endpoint with these model sets cannot have this preset for jobs that name none; None: it can."""
    needed = catalogue.sets_with(PRESETS[name].model)
    if set(needed) & set(sets):
        return None
    return (
        f"DEFAULT_PRESET={name} needs the set {needed[0]}, and MODEL_SETS is {','.join(sets)}: "
        f"add {needed[0]} to it, or choose another preset"
    )
