"""Bring the models: from the volume or a download to where ComfyUI looks."""

import logging
from collections.abc import Mapping
from pathlib import Path

from worker.catalogue import ModelFile
from worker.config import ModelSettings
from worker.errors import ModelError
from worker.models import own, source, transfer, volume
from worker.models.integrity import find_fault, note_size
from worker.models.transfer import Copy

log = logging.getLogger("models")


def bring(settings: ModelSettings) -> None:
    """Put every model in place, whole; raises ModelError or ConfigError naming what is missing and why."""
    models = own.chosen(settings)
    wanted = [model for model in models if find_fault(settings.target / model.path, model)]
    log.info("%d of %d models are in place in %s", len(models) - len(wanted), len(models), settings.target)
    sources = source.collect(wanted, settings) if wanted else {}
    copies = {Copy(path, settings.target / model.path): model for model, path in sources.items()}
    try:
        _put({item: model for item, model in copies.items() if item.source != item.target}, settings)
    except OSError as error:
        raise ModelError(
            f"the models cannot be put into {settings.target}: {error.filename or ''}: {error.strerror}; "
            "set MODELS_DIR to a folder that this user may write to"
        ) from error
    if not check(settings):
        raise ModelError("not every model is whole, see above")


def check(settings: ModelSettings) -> bool:
    """Log the state of every model in place; True: all are whole."""
    return all([_is_whole(settings.target / model.path, model) for model in own.chosen(settings)])  # noqa: C419 - each


def warm(settings: ModelSettings) -> None:
    """Read the models that are links into the page cache, in the graph's order, as far as memory goes."""
    models = own.chosen(settings)
    paths = [settings.target / model.path for model in models]
    links = [path for path in paths if path.is_symlink() and path.exists()]
    limit = min(available_memory(), sum(path.stat().st_size for path in links))
    counter = transfer.Counter()
    with transfer.report("read ahead", limit, lambda: counter.bytes):
        transfer.warm(links, settings.streams, limit, counter)


def available_memory(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that the page cache may take: of the machine, or of the container where that is less."""
    fields = dict(line.split(":") for line in meminfo.read_text().splitlines())
    available = int(fields["MemAvailable"].split()[0]) * 1024
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        if (cgroup / limit).exists() and (text := (cgroup / limit).read_text().strip()) != "max":
            available = min(available, int(text) - int((cgroup / used).read_text()))
    return max(available, 0)


def _is_whole(path: Path, model: ModelFile) -> bool:
    if fault := find_fault(path, model):
        log.error("%s %s", path, fault)
        return False
    if note := note_size(path, model):
        log.warning("%s %s", path, note)
    else:
        log.info("%s is whole", model.path)
    return True


def _put(copies: Mapping[Copy, ModelFile], settings: ModelSettings) -> None:
    for item in copies:
        item.part.unlink(missing_ok=True)  # what a killed copy left takes room
    copies = _link_cached(copies, settings) if settings.mode == "AUTO" else copies
    if not copies:
        return
    need, room = sum(item.source.stat().st_size for item in copies), transfer.room(settings.target)
    if settings.mode == "LINK" or (settings.mode == "AUTO" and need > room):
        transfer.link(list(copies))
        log.info("linked %d models, %.2f GB; space for a copy: %.2f GB", len(copies), need / 1e9, room / 1e9)
        return
    if need > room:
        raise ModelError(
            f"the models need {need / 1e9:.2f} GB, {settings.target} has room for {room / 1e9:.2f} GB beside the "
            f"{transfer.RESERVE:.0%} of its disk that stay free: enlarge the container's disk or set MODELS_MODE=link"
        )
    _copy(copies, need, settings)


def _link_cached(copies: Mapping[Copy, ModelFile], settings: ModelSettings) -> Mapping[Copy, ModelFile]:
    """Link what the platform keeps on this machine's disk; returns the others."""
    cache = settings.volume / volume.CACHED_MODELS
    near = [item for item in copies if item.source.is_relative_to(cache)]
    if near:
        transfer.link(near)
        log.info("linked %d models of %s, which is on this machine's disk", len(near), cache)
    return {item: model for item, model in copies.items() if item not in near}


def _copy(copies: Mapping[Copy, ModelFile], size: int, settings: ModelSettings) -> None:
    def check_copy(item: Copy) -> None:
        if fault := find_fault(item.part, copies[item]):
            raise ModelError(f"the copy of {item.source} {fault}")

    counter = transfer.Counter()
    try:
        with transfer.report("copy", size, lambda: counter.bytes):
            transfer.copy(list(copies), settings.streams, check_copy, counter)
    except OSError as error:
        raise ModelError(f"copying to {settings.target} failed: {error}") from error
