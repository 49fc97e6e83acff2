"""ComfyUI's events as progress for people: percent, step, node, time left."""

import time
from collections.abc import Callable
from typing import Any

from worker.comfyui.events import Event
from worker.graph import Graph

# Rough shares of a clip's run time; a class that is not listed counts 1.
WEIGHTS = {
    "SamplerCustomAdvanced": 60,
    "SamplerCustom": 60,
    "KSampler": 60,
    "KSamplerAdvanced": 60,
    "VAEDecode": 12,
    "VAEDecodeTiled": 12,
    "FrameInterpolate": 8,
    "DualCLIPLoader": 4,
    "UNETLoader": 4,
    "SaveImage": 4,
    "SaveVideo": 4,
}


class Progress:
    """How far a graph has run. `update` takes events in order; percent never falls."""

    def __init__(self, graph: Graph, clock: Callable[[], float] = time.monotonic) -> None:
        self._graph = graph
        self._weights = {key: WEIGHTS.get(node["class_type"], 1) for key, node in graph.nodes.items()}
        self._total = sum(self._weights.values()) or 1
        self._done: set[str] = set()
        self._running: str | None = None
        self._best = 0.0
        self._clock = clock
        self._rate_from: tuple[float, float] | None = None

    def update(self, event: Event) -> dict[str, Any] | None:
        """The progress after `event`, as the platform shows it to callers; None when there is nothing to tell."""
        if event.kind == "cached":
            self._done |= set(event.nodes) & self._weights.keys()
            return None
        if event.node not in self._weights or event.node is None:
            return None
        self._enter(event.node)
        fraction = min(event.step / event.steps, 1.0) if event.steps > 0 else 0.0
        report: dict[str, Any] = {"percent": self._percent(event.node, fraction), "node": self._graph.title(event.node)}
        if event.steps > 1:
            report.update(step=event.step, steps=event.steps)
            report.update(self._estimate(fraction))
        return report

    def _enter(self, node: str) -> None:
        if self._running != node:
            if self._running is not None:
                self._done.add(self._running)
            self._running, self._rate_from = node, None
        self._done.discard(node)

    def _percent(self, node: str, fraction: float) -> float:
        weight = sum(self._weights[key] for key in self._done) + fraction * self._weights[node]
        self._best = max(self._best, 100.0 * weight / self._total)
        return round(min(self._best, 99.9), 1)

    def _estimate(self, fraction: float) -> dict[str, float]:
        """Seconds left, from the pace since this node's first step: what came before it (loading) went another pace."""
        now, weight = self._clock(), self._best
        if self._rate_from is None:
            self._rate_from = (now, weight)
        elapsed, gained = now - self._rate_from[0], weight - self._rate_from[1]
        return {"eta_seconds": round(elapsed * (100.0 - weight) / gained, 1)} if gained > 0 and fraction > 0 else {}
