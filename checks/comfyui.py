"""ComfyUI, and what the default graph needs of it."""

from __future__ import annotations

import json
import urllib.request
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

from checks.place import Finding, Place

if TYPE_CHECKING:
    from collections.abc import Iterator

VERIFIED = "0.33.0"
"""The release of ComfyUI that the worker is tested on."""
TIMEOUT = 30.0

JSON = dict[str, Any]


def read_stats(url: str) -> JSON | None:
    """ComfyUI's versions (/system_stats); None where no ComfyUI answers."""
    try:
        answer = _read(f"{url}/system_stats")
        stats: JSON = {"stand_in": None, **answer["system"]}
        return stats if "comfyui_version" in stats else None
    except (OSError, HTTPException, ValueError, LookupError, TypeError):  # or what answers is no ComfyUI
        return None


def _read(url: str) -> JSON:
    # With the standard library, as this must tell where the worker's packages are missing too; a proxy of the
    # environment is not for the container's own ComfyUI.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=TIMEOUT) as response:
        answer: JSON = json.load(response)
    return answer


def check_comfyui(place: Place) -> Iterator[Finding]:
    """ComfyUI answers, knows the default graph's nodes, and has its models."""
    from worker import catalogue, config

    url = config.read(place.environ).comfyui_url
    stats = read_stats(url)
    if stats is None:
        yield _absence(url, place)
        for check in ("nodes", "choices"):
            yield Finding(check, "not applicable", "no ComfyUI to ask")
        return
    yield _describe(url, stats, place)
    schemas = _read(f"{url}/object_info")
    graph = _read_graphs(place)
    yield _proof(_check_nodes(graph, schemas), stats["stand_in"])
    if set(config.read_models(place.environ).sets) & set(catalogue.MODEL_SETS):
        yield _proof(_check_choices(graph, schemas), stats["stand_in"])
    else:
        yield Finding("choices", "not applicable", "MODEL_SETS has no preset's models: this endpoint runs workflows")


def _read_graphs(place: Place) -> JSON:
    """The nodes of the graphs of every preset that MODEL_SETS has the models for, and of the default one."""
    from worker import config
    from worker.catalogue import PRESETS, find_preset_fault
    from worker.graph import fill
    from worker.input.request import parse

    settings, sets = config.read(place.environ), config.read_models(place.environ).sets
    chosen = [name for name in PRESETS if name == settings.default_preset or not find_preset_fault(name, sets)]
    jobs = [{"preset": name} for name in chosen] + ([{"upscale": "1080p"}] if "upscale" in sets else [])
    jobs += [{"interpolate": 2}] if "smooth" in sets else []
    nodes: JSON = {}
    for number, job in enumerate(jobs):
        wanted = parse({"image": "-", "prompt": "-", "preset": "balanced", **job}, settings)
        graph = fill(wanted, wanted.form(1, 1), image_name="", prefix="", options=settings.graph_options)
        nodes |= {f"{number} {node_id}": node for node_id, node in graph.nodes.items()}
    return nodes


def _absence(url: str, place: Place) -> Finding:
    if place.previews and place.environ.get("COMFYUI_URL"):
        found = f"COMFYUI_URL is set, but no ComfyUI answers at {url}"
        return Finding("comfyui", "fail", found, "start ComfyUI there, or unset COMFYUI_URL for previews")
    if place.previews:
        found = f"no ComfyUI answers at {url}: the preview engine would make the clips, without a model"
        return Finding("comfyui", "not applicable", found)
    advice = "see the lines of builder.sh and ComfyUI in the container's log; just after the start, wait a minute"
    return Finding("comfyui", "fail", f"no ComfyUI answers at {url}", advice)


def _describe(url: str, stats: JSON, place: Place) -> Finding:
    if stats["stand_in"]:
        advice = "for real clips, start ComfyUI or point COMFYUI_URL at one"
        return place.fault("comfyui", f"a stand-in answers at {url}, not ComfyUI: {stats['stand_in']}", advice)
    version = stats["comfyui_version"]
    found = f"ComfyUI {version} with torch {stats['pytorch_version']} answers at {url}"
    if version != VERIFIED:
        return Finding("comfyui", "warning", found, f"the worker is tested on {VERIFIED}: test this one with a job")
    return Finding("comfyui", "ok", found)


def _proof(finding: Finding, stand_in: object) -> Finding:
    """What a stand-in accepts proves nothing about ComfyUI; what it refuses would fail all the same."""
    if stand_in and finding.state == "ok":
        return Finding(finding.check, "not applicable", f"the stand-in says: {finding.found}; only a ComfyUI proves it")
    return finding


def _check_nodes(graph: JSON, schemas: JSON) -> Finding:
    classes = {node["class_type"] for node in graph.values()}
    unknown = sorted(classes - set(schemas))
    if unknown:
        advice = f"use ComfyUI {VERIFIED}, or install the custom nodes that bring them"
        return Finding("nodes", "fail", f"ComfyUI does not know {', '.join(unknown)}", advice)
    return Finding("nodes", "ok", f"all {len(classes)} node classes of the worker's graphs are known")


def _check_choices(graph: JSON, schemas: JSON) -> Finding:
    """Values that ComfyUI takes from a list: models, samplers, codecs."""
    chosen = {
        (node["_meta"]["title"], name, value): listed
        for node in graph.values()
        for name, value in node["inputs"].items()
        if isinstance(value, str) and (listed := _choices(schemas, node["class_type"], name)) is not None
    }
    missing = [f"{value} ({title}: {name})" for (title, name, value), listed in chosen.items() if value not in listed]
    if missing:
        advice = f"models: python -m worker.models bring; others: edit the graph or use ComfyUI {VERIFIED}"
        return Finding("choices", "fail", f"ComfyUI does not list {'; '.join(missing)}", advice)
    models = {value for _, _, value in chosen if value.endswith(".safetensors")}
    others = sum(value not in models for _, _, value in chosen)
    return Finding("choices", "ok", f"all {len(models)} models and {others} other choices are listed")


def _choices(schemas: JSON, class_type: str, name: str) -> list[Any] | None:
    """The values that ComfyUI allows for an input; None: it is no choice, or names an upload."""
    inputs = schemas.get(class_type, {}).get("input", {})
    config = {**inputs.get("required", {}), **inputs.get("optional", {})}.get(name, [None])
    kind, options = config[0], config[1] if len(config) > 1 else {}
    if options.get("image_upload"):
        return None
    if isinstance(kind, list):
        return kind
    if kind == "COMFY_DYNAMICCOMBO_V3":
        return [option["key"] for option in options["options"]]
    return options.get("options", []) if kind == "COMBO" else None
