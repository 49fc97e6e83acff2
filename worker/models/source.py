"""Where each missing model comes from: the network volume, or a download that the volume keeps for the next worker."""

import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from worker.catalogue import ModelFile
from worker.config import ModelSettings
from worker.errors import ModelError
from worker.models import transfer, volume

DOWNLOADS = 2  # at once: a hub download uses many connections, and one cut short by a kill begins anew
log = logging.getLogger("models")


def collect(models: Sequence[ModelFile], settings: ModelSettings) -> dict[ModelFile, Path]:
    """A whole file for each model; downloads what the volume lacks. Raises ModelError naming all that failed."""
    searches = {model: volume.find(model, settings.volume) for model in models}
    _describe(searches, settings)
    found = {model: search.found for model, search in searches.items() if search.found}
    missing = {model: search for model, search in searches.items() if model not in found}
    return found | _download(missing, settings) if missing else found


def _describe(searches: Mapping[ModelFile, volume.Search], settings: ModelSettings) -> None:
    state = "mounted" if settings.volume.is_dir() else "not mounted"
    found = [search.found for search in searches.values() if search.found]
    log.info("volume %s (%s): %d of %d models", settings.volume, state, len(found), len(searches))
    for folder in sorted({str(path.parent.parent) for path in found}):
        log.info("found in %s", folder)
    for search in searches.values():
        for path, fault in search.faults.items():
            log.warning("%s %s: it is not used", path, fault)


def _download(searches: Mapping[ModelFile, volume.Search], settings: ModelSettings) -> dict[ModelFile, Path]:
    _refuse_obstacles(list(searches), settings)
    targets = {model: _choose_place(model, search, settings) for model, search in searches.items()}
    known = [model.size for model in targets if model.size]
    total = sum(known) if len(known) == len(targets) else 0
    pool = ThreadPoolExecutor(DOWNLOADS)
    with transfer.report("download", total, lambda: _bytes_of(list(targets.values()))):
        running = {pool.submit(_fetch, model, target, settings): model for model, target in targets.items()}
        try:
            return {running[one]: one.result() for one in as_completed(running)}
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # the first that fails ends it: nothing else can serve


def _refuse_obstacles(models: Sequence[ModelFile], settings: ModelSettings) -> None:
    """Raise ModelError, naming all, where models are known before the first download not to come."""
    from worker.models.download import find_obstacle

    faults: dict[str, list[str]] = {}
    with ThreadPoolExecutor(len(models)) as pool:
        for name, fault in pool.map(lambda model: (model.name, find_obstacle(model, settings)), models):
            if fault:
                faults.setdefault(fault, []).append(name)
    if faults:
        raise ModelError("; ".join(f"{', '.join(names)}: {fault}" for fault, names in faults.items()))


def _choose_place(model: ModelFile, search: volume.Search, settings: ModelSettings) -> Path:
    """On the volume, for the next worker; in the place of a file that is broken; else where ComfyUI looks."""
    if not settings.volume.is_dir():
        return settings.target / model.path
    if not os.access(settings.volume, os.W_OK):
        log.warning("%s cannot be written to: the next worker will download %s again", settings.volume, model.name)
        return settings.target / model.path
    if shutil.disk_usage(settings.volume).free < (model.size or 0):
        log.warning("%s has no space for %s", settings.volume, model.name)
        return settings.target / model.path
    return next(iter(search.faults), volume.place(model, settings.volume))


def _fetch(model: ModelFile, target: Path, settings: ModelSettings) -> Path:
    from worker.models.download import fetch  # its imports take 0.1 s, which a boot without downloads saves

    local = settings.target / model.path
    if target == local and transfer.room(settings.target) < (model.size or 0):
        raise ModelError(
            f"{settings.target} has no space for {model.name}: give the container a larger disk or a volume"
        )
    log.info("downloading %s to %s", model.name, target.parent)
    try:
        fetch(model, target, settings)
    except ModelError as error:
        raise ModelError(f"{model.name}: {error}") from error
    except OSError as error:
        if target == local:
            raise ModelError(f"{model.name} cannot be saved in {target.parent}: {error.strerror}") from error
        log.warning("%s cannot be saved on the volume: %s", model.name, error.strerror)
        return _fetch(model, local, settings)
    return target


def _bytes_of(targets: Sequence[Path]) -> int:
    """Bytes on the disk of what is downloaded or on its way."""
    from worker.models.download import bytes_below, stage

    return sum(target.stat().st_size if target.exists() else bytes_below(stage(target)) for target in targets)
