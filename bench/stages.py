"""What ComfyUI's messages say of a job's time: seconds of nodes, stages and sampling steps, and the GPU's idle ones."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

# The stages of the worker's own graphs, by their nodes' titles; what is not named here loads or wires: `other`.
STAGES = {
    "vision": ("Load vision encoder", "Encode image"),
    "text": ("Load text encoders", "Encode prompt", "Encode negative prompt"),
    "encode": ("Load VAE", "Condition on image"),
    "sample": ("Load model", "Compile model", "Reuse steps", "Sample"),
    "upscale": (
        "Load latent upscaler",
        "Upscale latent",
        "Load super-resolution model",
        "Condition on upscaled latent",
        "Sample large",
        "Sample large to the end",
    ),
    "decode": ("Decode frames",),
    "interpolate": ("Load interpolation model", "Interpolate frames"),
    "save": ("Create video", "Save video", "Save frames"),
}
SAMPLERS = ("Sample", "Sample large", "Sample large to the end")
OTHER = "other"
STAGE_OF = {title: stage for stage, titles in STAGES.items() for title in titles}
OFF_GPU = ("save", OTHER)
"""Stages that leave the GPU idle."""


@dataclass(frozen=True)
class Span:
    """A node's run, in seconds of one clock."""

    title: str
    start: float
    end: float
    steps: tuple[tuple[int, float], ...] = ()
    """a step's number and when it was done, of those that ComfyUI tells: the first and last, not all between"""

    @property
    def stage(self) -> str:
        """The stage it belongs to."""
        return STAGE_OF.get(self.title, OTHER)


@dataclass(frozen=True)
class Message:
    """Something that ComfyUI says of a prompt."""

    at: float
    kind: str
    """ComfyUI's word for it: execution_start, executing (a node begins), progress (a step of it), execution_success"""
    title: str | None = None
    """the node's"""
    step: int = 0
    """the one that is done, of a progress"""


@dataclass(frozen=True)
class Recording:
    """What ComfyUI said of one job that it finished, in order."""

    messages: tuple[Message, ...]

    @property
    def started(self) -> float:
        """When ComfyUI took the job up."""
        return self.messages[0].at

    @property
    def ended(self) -> float:
        """When it was done with it."""
        return next(message.at for message in self.messages if message.kind == "execution_success")

    def spans(self) -> list[Span]:
        """The nodes that ran, in order. A node ends where the next one begins."""
        begun = [message for message in self.messages if message.kind == "executing" and message.title]
        ends = [*(message.at for message in begun[1:]), self.ended]
        return [
            Span(message.title or "", message.at, end, self._steps(message.title, message.at, end))
            for message, end in zip(begun, ends, strict=True)
        ]

    def _steps(self, title: str | None, start: float, end: float) -> tuple[tuple[int, float], ...]:
        said = (message for message in self.messages if message.kind == "progress" and message.title == title)
        return tuple((message.step, message.at) for message in said if start <= message.at <= end)


@dataclass(frozen=True)
class Steps:
    """A sampler's steps in seconds."""

    count: int
    first: float
    """from the node's start to the first step's end: the model is loaded meanwhile"""
    each: float | None
    """mean of the others; None where there is only one"""


@dataclass(frozen=True)
class Times:
    """A job's times in seconds."""

    total: float
    """ComfyUI's own, from taking the job up to its end"""
    stages: Mapping[str, float]
    nodes: Mapping[str, float]
    steps: Mapping[str, Steps] = field(default_factory=dict)
    """by the sampler's title"""


def times(recording: Recording) -> Times:
    """The job's times; a stage that did not run, as its results were cached, is missing."""
    spans = recording.spans()
    return Times(
        total=recording.ended - recording.started,
        stages=_sums((span.stage, span.end - span.start) for span in spans),
        nodes=_sums((span.title, span.end - span.start) for span in spans),
        steps={span.title: _steps(span) for span in spans if span.title in SAMPLERS and span.steps},
    )


def _sums(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for name, seconds in pairs:
        sums[name] = sums.get(name, 0.0) + seconds
    return sums


def _steps(span: Span) -> Steps:
    (first, began), (last, ended) = span.steps[0], span.steps[-1]
    return Steps(last, began - span.start, (ended - began) / (last - first) if last > first else None)


def between(first: Recording, second: Recording) -> dict[str, float]:
    """The pause between two jobs that were queued together.

    handover: from the first one's end to the second one's first node. gpu_idle: from the first one's last node that
    uses the GPU to the second one's first: saving, handover and loading pictures.
    """
    last = max(span.end for span in first.spans() if span.stage not in OFF_GPU)
    spans = second.spans()
    begins = min(span.start for span in spans if span.stage not in OFF_GPU)
    return {"handover": spans[0].start - first.ended, "gpu_idle": begins - last}


def peaks(spans: Iterable[Span], samples: Sequence[tuple[float, float]]) -> dict[str, float]:
    """The largest sample of (time, value) in each stage, and of all; stages too short for one are missing."""
    found: dict[str, float] = {}
    for span in spans:
        inside = [value for at, value in samples if span.start <= at <= span.end]
        if inside:
            found[span.stage] = max(found.get(span.stage, 0.0), *inside)
    return {**found, "all": max((value for _, value in samples), default=0.0)}
