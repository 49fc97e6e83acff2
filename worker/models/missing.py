"""Which models an endpoint lacks, in words for the caller and its operator."""

from collections.abc import Collection

from worker.errors import ModelMissing
from worker.models import catalogue
from worker.models.catalogue import ModelFile


def explain(names: Collection[object]) -> ModelMissing | None:
    """The error for files that ComfyUI does not have; None where none of them is a model of the worker's."""
    files = [model for model in catalogue.load(catalogue.all_sets(), {}) if model.name in names]
    if not files:
        return None
    sets = dict.fromkeys(catalogue.sets_with(model.name)[0] for model in files)
    listed = ", ".join(describe(model) for model in files)
    return ModelMissing(
        f"this endpoint does not have {listed}: its operator adds {','.join(sets)} to MODEL_SETS; "
        f"until then {'leave upscale out' if list(sets) == ['upscale'] else 'ask for another preset'}",
        files=[str(model.path) for model in files],
    )


def describe(model: ModelFile) -> str:
    """The file's place and size."""
    size = f" ({'about ' if model.about else ''}{model.size / 1e9:.1f} GB)" if model.size else ""
    return f"{model.path}{size}"
