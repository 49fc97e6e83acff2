"""A graph in ComfyUI's API format: {node id: {"class_type", "inputs", "_meta": {"title"}}}."""

from dataclasses import dataclass
from typing import Any

from worker.input.faults import cut


@dataclass(frozen=True)
class Graph:
    """A graph that is fit to queue."""

    nodes: dict[str, Any]
    video_node: str | None = None
    """Id of the video saver, in a graph of the worker's own."""
    frames_node: str | None = None
    """Id of the frame saver there, where frames are asked for."""
    frame_quality: int | None = None
    """Of the frames that it saves, where they lose something."""
    warnings: tuple[str, ...] = ()
    smaller: str = "ask for less"
    """What to do where the GPU's memory does not hold it."""

    @property
    def own(self) -> bool:
        """Whether it is one of the worker's graphs, not the caller's."""
        return self.video_node is not None

    def title(self, node_id: str) -> str:
        """The node's name for people: its title, else its class, else its id."""
        return title_of(self.nodes.get(node_id), node_id)


def title_of(node: object, node_id: str) -> str:
    """The name for people of a node that may be anything: its title, else its class, else its id."""
    names: list[object] = []
    if isinstance(node, dict):
        meta = node.get("_meta")
        names = [meta.get("title") if isinstance(meta, dict) else None, node.get("class_type")]
    return cut(next((name for name in names if isinstance(name, str) and name), node_id))
