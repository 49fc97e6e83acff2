"""What an operator may change in the worker's own graphs, by name (GRAPH_OPTIONS)."""

from collections.abc import Iterable
from typing import Any

# The values of ComfyUI's own template for this model.
EASY_CACHE = {"reuse_threshold": 0.2, "start_percent": 0.15, "end_percent": 0.95, "verbose": False}
# One tile in time: several show where they meet.
TILES = {"tile_size": 512, "overlap": 64, "temporal_size": 4096, "temporal_overlap": 8}

# In the order in which the model passes through them.
MODEL_NODES: dict[str, dict[str, Any]] = {
    "torch_compile": {
        "class_type": "TorchCompileModel",
        "inputs": {"backend": "inductor"},
        "_meta": {"title": "Compile model"},
    },
    "easycache": {"class_type": "EasyCache", "inputs": EASY_CACHE, "_meta": {"title": "Reuse steps"}},
}


def apply(options: Iterable[str], nodes: dict[str, Any], *, model: str, decoder: str) -> None:
    """Change the graph; `model` and `decoder` are the ids of the nodes that load the model and decode the frames."""
    chosen = set(options)
    source = model
    for name in [name for name in MODEL_NODES if name in chosen]:
        _insert_behind(source, nodes, name)
        source = name
    if "tiled_decode" in chosen:
        nodes[decoder]["class_type"] = "VAEDecodeTiled"
        nodes[decoder]["inputs"] |= TILES


def _insert_behind(source: str, nodes: dict[str, Any], name: str) -> None:
    """The option's node, which takes the model from `source` and gives it to all that had it from there."""
    for node in nodes.values():
        links = {key: [name, 0] for key, value in node["inputs"].items() if value == [source, 0]}
        node["inputs"].update(links)
    new = MODEL_NODES[name]
    nodes[name] = {**new, "inputs": {**new["inputs"], "model": [source, 0]}}
