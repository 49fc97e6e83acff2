"""What an operator may change in the worker's own graphs, by name (GRAPH_OPTIONS)."""

from collections.abc import Collection
from typing import Any

from worker.catalogue import GRAPH_OPTIONS, GraphOption


def apply(names: Collection[str], nodes: dict[str, Any], *, model: str, decoder: str) -> None:
    """Change the graph; `model` and `decoder` are the ids of the nodes that load the model and decode the frames."""
    source = model
    for name, option in GRAPH_OPTIONS.items():
        if name not in names:
            continue
        if option.place == "decoder":
            nodes[decoder]["class_type"] = option.class_type
            nodes[decoder]["inputs"] |= option.inputs
        else:
            _insert_behind(source, nodes, name, option)
            source = name


def _insert_behind(source: str, nodes: dict[str, Any], name: str, option: GraphOption) -> None:
    """The option's node, which takes the model from `source` and gives it to all that had it from there."""
    for node in nodes.values():
        links = {key: [name, 0] for key, value in node["inputs"].items() if value == [source, 0]}
        node["inputs"].update(links)
    nodes[name] = {
        "class_type": option.class_type,
        "inputs": {**option.inputs, "model": [source, 0]},
        "_meta": {"title": option.title},
    }
