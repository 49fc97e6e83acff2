"""What may be changed in the worker's own graphs: by their operator (GRAPH_OPTIONS), and by a request's LoRAs."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from worker.catalogue import GRAPH_OPTIONS
from worker.input.loras import Lora

MODEL_LOADER = "UNETLoader"
LORA_LOADER = "LoraLoaderModelOnly"

ATTENTION_SETTER = "SetAttention"
"""The class of comfyui_nodes/ that chooses the attention kernel; its input's default is what suits the GPU."""
COMFYUIS_ATTENTION = "comfyui"
"""Its choice that changes nothing."""


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
            insert_behind(source, nodes, name, node_of(option.class_type, option.title, option.inputs))
            source = name


def set_attention(attention: str, nodes: dict[str, Any]) -> None:
    """Have every diffusion model of the graph sample with this attention, a choice of ATTENTION_SETTER."""
    for loader in [node_id for node_id, node in nodes.items() if node["class_type"] == MODEL_LOADER]:
        setter = node_of(ATTENTION_SETTER, "Set attention", {"attention": attention})
        insert_behind(loader, nodes, f"attention_{loader}", setter)


def node_of(class_type: str, title: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """A node that has yet to be linked."""
    return {"class_type": class_type, "inputs": dict(inputs), "_meta": {"title": title}}


def insert_behind(source: str, nodes: dict[str, Any], name: str, inserted: dict[str, Any]) -> None:
    """Put a node between `source`, from which it takes the model, and all that had the model from there."""
    for node in nodes.values():
        links = {key: [name, 0] for key, value in node["inputs"].items() if value == [source, 0]}
        node["inputs"].update(links)
    inserted["inputs"]["model"] = [source, 0]
    nodes[name] = inserted


def add_loras(loras: Sequence[Lora], nodes: dict[str, Any]) -> None:
    """Apply each LoRA, in their order, to every diffusion model of the graph, before its other changes."""
    for loader in [node_id for node_id, node in nodes.items() if node["class_type"] == MODEL_LOADER]:
        source = loader
        for number, lora in enumerate(loras, 1):
            name = f"{loader}_lora_{number}"
            inputs = {"lora_name": lora.name, "strength_model": lora.strength}
            insert_behind(source, nodes, name, node_of(LORA_LOADER, f"LoRA {number} of {loader}", inputs))
            source = name
