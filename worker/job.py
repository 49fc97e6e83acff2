"""One job, from its input to the answer: synchronous, in the caller's thread."""

import contextvars
import functools
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from worker import graph
from worker.comfyui import ComfyUI, Limits, Prompt, Scope, connect, execute, wait_for_answer
from worker.config import Settings
from worker.errors import JobCancelled
from worker.graph import Graph
from worker.input import image, limits, loras
from worker.input.request import Request, parse
from worker.output import video
from worker.output.collecting import collect
from worker.output.delivery import Delivery


def run(
    job: Mapping[str, Any], settings: Settings, report: Callable[[dict[str, Any]], None], cancelled: threading.Event
) -> dict[str, Any]:
    """Run RunPod's `job` ({"id", "input"}) and return the answer; raises WorkerError.

    `report` takes each progress as it comes. The job ends soon after `cancelled` is set. However it ends, ComfyUI's
    queue and folders are free of it afterwards.
    """
    ends = Limits(
        time.monotonic() + settings.job_timeout,
        settings.stall_timeout,
        settings.stop_timeout,
        cancelled,
        settings.comfyui_pid,
    )
    times = Timings()
    with (
        connect(settings.comfyui_url, settings.comfyui_log, quote=settings.concurrency == 1) as comfyui,
        Scope(settings.comfyui_dir) as scope,
    ):
        with times("total"):
            with times("prepare"):
                request = parse(job.get("input"), settings)
                delivery = Delivery(job, request, settings, cancelled, ends.check)
                plan = prepare(request, comfyui, scope, settings, ends)
            api_key = (request.comfy_org_api_key or settings.comfy_org_api_key) if settings.api_nodes else ""
            prompt = Prompt(str(uuid.uuid4()), plan.graph, api_key)
            with times("execution"):
                made = execute(comfyui, prompt, ends, scope, report)
            with scope.keeping(delivery.name):
                with times("fetch"):
                    collected = collect(made, plan.graph, comfyui, scope, ends)
                with times("check"):
                    clip = video.check(collected.files, plan.expected, ends.check_cancelled)
                with times("deliver"):
                    answer = {"status": "success", "prompt_id": prompt.id, **plan.facts, **clip.facts}
                    answer = delivery.send(
                        clip.files, {**answer, "warnings": [*plan.warnings, *collected.warnings, *clip.warnings]}
                    )
        return {**answer, "timings": times.seconds}


@dataclass(frozen=True)
class Plan:
    """A job that is ready to run: its images are in ComfyUI's input folder."""

    graph: Graph
    warnings: tuple[str, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the answer tells of the clip; nothing of a caller's graph."""
    expected: video.Expected | None = None
    """What the clip is to be; None: nobody knows what a caller's graph makes."""


@dataclass(frozen=True)
class Offer:
    """What the ComfyUI at hand has for a job; of a caller's graph it is asked nothing but its stats."""

    stats: Mapping[str, Any]
    loras: Sequence[str] = ()
    frame_saver: bool = False
    attention: str = graph.COMFYUIS_ATTENTION


def prepare(request: Request, comfyui: ComfyUI, scope: Scope, settings: Settings, ends: Limits) -> Plan:
    """Settle everything before the prompt: ComfyUI answers, the images are checked and uploaded, the graph is made."""
    refused = threading.Event()

    def check() -> None:
        ends.check()
        if refused.is_set():
            raise JobCancelled("an image is not taken")

    with ThreadPoolExecutor(1) as pool:  # ComfyUI is asked while the images are decoded
        asked = pool.submit(contextvars.copy_context().run, ask, request, comfyui, settings, check)
        try:
            pictures = [load(name, source, request, settings, ends.check) for name, source in request.pictures]
        except BaseException:
            refused.set()  # its answer is waited for no longer
            raise
    offer = asked.result()
    stand_in = offer.stats.get("stand_in")
    warnings = [*request.warnings, *([f"Preview only, not HunyuanVideo output: {stand_in}"] if stand_in else [])]

    def upload(picture: image.Image, stem: str = "image") -> str:
        ends.check()
        warnings.extend(picture.warnings)
        return scope.put(picture.data, stem + picture.suffix, comfyui.upload)

    if request.workflow is not None:
        names = [upload(picture, f"image_{number}") for number, picture in enumerate(pictures)]
        start = names.pop(0) if request.picture else None
        uploads = {entry.name: name for entry, name in zip(request.images, names, strict=True)}
        rules = rules_of(comfyui, settings)
        adapted = graph.adapt(request.workflow, image_name=start, uploads=uploads, prefix=scope.name, rules=rules)
        return Plan(adapted, (*warnings, *adapted.warnings))
    (picture,) = pictures
    chosen = loras.choose(request.loras, offer.loras, any_file=bool(stand_in))
    form = request.form(picture.width, picture.height)
    if settings.clip_limits:
        limits.check(form, offer.stats["devices"][0]["vram_total"], settings.clip_limits)
    warnings.extend(form.warnings)
    if request.fit == "pad":
        picture = image.letterbox(picture, *form.size, settings, ends.check)
    name = upload(picture)
    changes: Any = {"options": settings.graph_options, "loras": chosen, "attention": offer.attention}
    filled = graph.fill(request, form, image_name=name, prefix=scope.name, frame_saver=offer.frame_saver, **changes)
    expected = video.Expected(form.num_frames, request.fps, stills=filled.frames_node is not None)
    return Plan(filled, tuple(warnings), request.facts(form, **changes), expected)


def load(name: str, source: str, request: Request, settings: Settings, check: Callable[[], None]) -> image.Image:
    """One of the request's images, checked."""
    check()
    return image.load(source, name, settings, as_sent=request.workflow is not None, check=check)


def ask(request: Request, comfyui: ComfyUI, settings: Settings, check: Callable[[], None]) -> Offer:
    """What ComfyUI has for the request, as soon as it answers."""
    stats = wait_for_answer(comfyui, settings.boot_timeout, check, settings.comfyui_pid)
    if request.workflow is not None:
        return Offer(stats)
    suited = comfyui.default_of(graph.ATTENTION_SETTER, "attention") if settings.attention == "auto" else None
    return Offer(
        stats,
        loras=comfyui.choices(graph.LORA_LOADER, "lora_name") if request.loras else (),
        frame_saver=request.output != "video" and comfyui.has_node(graph.FRAME_SAVER),
        attention=suited or graph.COMFYUIS_ATTENTION,
    )


def rules_of(comfyui: ComfyUI, settings: Settings) -> graph.Rules:
    """Which classes a caller's workflow may use here: what the operator installed is the operator's choice."""
    packs = ("custom_nodes.", "comfy_api_nodes.") if settings.api_nodes else ("custom_nodes.",)
    find = functools.cache(comfyui.find_class)

    def is_installed(name: str) -> bool:
        found = find(name)
        return found is None or found.module.startswith(packs)  # ComfyUI names what it does not have

    def outputs_of(name: str) -> tuple[str, ...] | None:
        found = find(name)
        return found.outputs if found else None

    def inputs_of(name: str) -> Mapping[str, str]:
        found = find(name)
        return found.inputs if found else {}

    return graph.Rules(settings.nodes_allow, settings.nodes_deny, is_installed, outputs_of, inputs_of)


class Timings:
    """Seconds that each phase took: `with times("prepare")`."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Note how many seconds a phase took, also where it fails."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[phase] = round(time.monotonic() - start, 4)
