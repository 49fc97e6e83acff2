"""Models, volume, disk, memory and GPU."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, NamedTuple

from checks.comfyui import read_stats
from checks.place import Finding, Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from worker.catalogue import ModelFile
    from worker.config import ModelSettings

LEAST_MEMORY = 4 * 2**30
"""The SDK's own check before it takes jobs."""
SMI_TIMEOUT = 30
SMI_QUERY = "--query-gpu=name,memory.total,driver_version,compute_cap"

# Linux driver branches: the one that came with a CUDA release, and the oldest that runs its major version at all
# (https://docs.nvidia.com/deploy/cuda-compatibility/).
DRIVERS = {(12, 4): 550, (12, 6): 560, (12, 8): 570, (12, 9): 575, (13, 0): 580}
OLDEST_DRIVERS = {12: 525, 13: 580}
BLACKWELL = 10.0
"""Compute capability from which on torch needs CUDA 12.8."""


class Gpu(NamedTuple):
    """One line of nvidia-smi."""

    name: str
    memory: str
    """MiB"""
    driver: str
    compute_capability: str

    def __str__(self) -> str:
        return f"{self.name}, {int(self.memory) / 1024:.0f} GiB, driver {self.driver}"


def check_models(place: Place) -> Iterator[Finding]:
    """Each model is where ComfyUI looks, whole, and of the published size."""
    from worker import config
    from worker.models import own

    settings = config.read_models(place.environ)
    if place.previews and not settings.target.is_dir():
        yield Finding("model", "not applicable", f"no models folder {settings.target}: the preview engine needs none")
        return
    for model in own.chosen(settings):
        yield _check_model(settings.target / model.path, model, place)


def check_sets(place: Place) -> Iterator[Finding]:
    """Which presets' models are there, and the setting that brings the others."""
    from worker import catalogue, config

    settings = config.read_models(place.environ)
    needed = not place.previews or settings.target.is_dir()
    for name in catalogue.MODEL_SETS:
        finding = _check_set(name, settings)
        yield finding if needed or finding.state == "ok" else dataclasses.replace(finding, state="not applicable")
    if needed and (fault := catalogue.find_preset_fault(config.read(place.environ).default_preset, settings.sets)):
        yield Finding("sets", "fail", fault)


def _check_set(name: str, settings: ModelSettings) -> Finding:
    from worker import catalogue, config

    models = catalogue.load([name], settings.urls)
    absent = [model for model in models if not (settings.target / model.path).exists()]
    if not absent:
        return Finding("sets", "ok", f"{name}: all {len(models)} files are there")
    found = f"{name}: without {', '.join(map(str, absent))}"
    if name in settings.sets:
        return Finding("sets", "fail", found, "python -m worker.models bring")
    beside = {"upscale": ["default"], "upscale_720p": ["fast"]}.get(name, [])
    wanted = dict.fromkeys([*(one for one in settings.sets if one != config.NO_SETS), *beside, name])
    return Finding("sets", "not applicable", f"{found}; MODEL_SETS={','.join(wanted)} brings it")


def _check_model(path: Path, model: ModelFile, place: Place) -> Finding:
    from worker.models.integrity import find_fault, note_size

    bring = "python -m worker.models bring"
    fault = ("does not exist" if not path.exists() else None) if place.quick else find_fault(path, model)
    if fault:
        return Finding("model", "fail", f"{path} {fault}", bring)
    if note := note_size(path, model):
        advice = "as intended if this is a file of your own; else delete it here and on the volume, then: "
        return Finding("model", "warning", f"{path} {note}", advice + bring)
    seen = "has the published size" if place.quick else "is whole"
    return Finding("model", "ok", f"{path} {seen}, {path.stat().st_size / 1e9:.2f} GB")


def check_volume(place: Place) -> Iterator[Finding]:
    """The network volume is mounted and can keep models for the next worker."""
    from worker import config

    volume = config.read_models(place.environ).volume
    if not volume.is_dir():
        found = f"no network volume at {volume}"
        if place.on_platform:
            yield Finding("volume", "warning", found, "attach one: otherwise every new worker downloads the models")
        else:
            yield Finding("volume", "not applicable", found)
        return
    found = f"{volume} is mounted, {shutil.disk_usage(volume).free / 1e9:.0f} GB free"
    if os.access(volume, os.W_OK):
        yield Finding("volume", "ok", found)
    else:
        advice = "make it writable, or put the models on it by hand: downloads cannot be kept"
        yield Finding("volume", "warning", f"{found}, read-only", advice)


def check_disk(place: Place) -> Iterator[Finding]:
    """The platform takes no worker with a fuller disk."""
    from worker.models.transfer import RESERVE

    disk = shutil.disk_usage("/")
    found = f"{disk.free / disk.total:.0%} of / is free, {disk.free / 1e9:.0f} of {disk.total / 1e9:.0f} GB"
    if disk.free < RESERVE * disk.total:
        advice = f"the platform wants {RESERVE:.0%}: enlarge the container's disk, or set MODELS_MODE=link"
        yield place.fault("disk", found, advice)
    else:
        yield Finding("disk", "ok", found)


def check_memory(place: Place) -> Iterator[Finding]:
    """The platform takes no worker with less memory."""
    from worker.models.bring import available_memory

    try:
        available = available_memory()
    except FileNotFoundError:
        yield Finding("memory", "not applicable", "this system does not report the available memory")
        return
    found = f"{available / 2**30:.1f} GiB available"
    if available < LEAST_MEMORY:
        yield place.fault("memory", found, "the platform wants 4 GiB: choose a larger machine")
    else:
        yield Finding("memory", "ok", found)


def check_gpu(place: Place) -> Iterator[Finding]:
    """A GPU whose driver runs the CUDA build of ComfyUI's torch."""
    command = ["nvidia-smi", SMI_QUERY, "--format=csv,noheader,nounits"]
    try:
        result = subprocess.run(  # noqa: S603 # the command above
            command, capture_output=True, text=True, timeout=SMI_TIMEOUT, check=False
        )
    except FileNotFoundError:
        yield place.lack("gpu", "no GPU: there is no nvidia-smi", "start the container on a GPU (docker: --gpus all)")
        return
    except subprocess.TimeoutExpired:
        yield place.fault("gpu", f"nvidia-smi does not answer within {SMI_TIMEOUT} s", "use another machine")
        return
    if result.returncode:
        found = f"nvidia-smi fails: {(result.stdout + result.stderr).strip()}"
        yield place.fault("gpu", found, "load the driver on the host, or use another machine")
        return
    torch = _read_torch(place)
    for line in result.stdout.splitlines():
        yield _check_gpu(Gpu(*line.split(", ")), torch, place)


def _read_torch(place: Place) -> str | None:
    """The version of ComfyUI's torch; None: no ComfyUI tells."""
    from worker import config

    stats = read_stats(config.read(place.environ).comfyui_url)
    return None if stats is None or stats["stand_in"] else str(stats["pytorch_version"])


def _check_gpu(gpu: Gpu, torch: str | None, place: Place) -> Finding:
    if torch is None:
        return Finding("gpu", "ok", f"{gpu}; whether ComfyUI's torch fits it is not known, as no ComfyUI answers")
    build = re.search(r"\+cu(\d+)(\d)$", torch)
    if build is None:
        return place.fault("gpu", f"{gpu}; torch {torch} has no CUDA", "install ComfyUI with a CUDA build of torch")
    cuda, driver = (int(build[1]), int(build[2])), int(gpu.driver.partition(".")[0])
    found = f"{gpu}; torch {torch}"
    if driver < OLDEST_DRIVERS.get(cuda[0], 0):
        advice = f"CUDA {cuda[0]} needs driver {OLDEST_DRIVERS[cuda[0]]}: choose hosts by their CUDA version"
        return Finding("gpu", "fail", found, advice)
    if float(gpu.compute_capability) >= BLACKWELL and cuda < (12, 8):
        return Finding("gpu", "fail", found, "this GPU needs a PyTorch for CUDA 12.8 or later")
    if driver < DRIVERS.get(cuda, 0):
        advice = f"driver {DRIVERS[cuda]} came with CUDA {cuda[0]}.{cuda[1]}: an older one runs most of it, not PTX"
        return Finding("gpu", "warning", found, advice)
    return Finding("gpu", "ok", found)
