"""The graph that ComfyUI runs.

graph    what a graph is, for all who handle one
fill     the worker's own graphs, which are data beside it, with a request's values
options  what an operator, or a request's LoRAs, may change in them
adapt    a caller's own graph made fit for a job
guard    what such a graph may do
"""

from worker.graph.adapt import MODEL_SUFFIXES, adapt
from worker.graph.fill import DEFAULT_GRAPH, FRAME_SAVER, UPSCALE_GRAPH, fill
from worker.graph.graph import Graph
from worker.graph.guard import Rules
from worker.graph.options import ATTENTION_SETTER, COMFYUIS_ATTENTION, LORA_LOADER

__all__ = [
    "ATTENTION_SETTER",
    "COMFYUIS_ATTENTION",
    "DEFAULT_GRAPH",
    "FRAME_SAVER",
    "LORA_LOADER",
    "MODEL_SUFFIXES",
    "UPSCALE_GRAPH",
    "Graph",
    "Rules",
    "adapt",
    "fill",
]
