"""Node classes that a graph names and ComfyUI does not have: which, what is installed, and how they are added."""

import difflib
import re
from collections.abc import Mapping
from typing import Any

from worker.comfyui import faults
from worker.errors import WorkflowRejected
from worker.graph import Graph
from worker.input.faults import cut

PAGE = "docs/WORKFLOWS.md#custom-nodes"
NEAR_IN_SPELLING = 0.9
SHOWN_NODES = 8
EDITORS_OWN = ("Reroute", "Note", "MarkdownNote", "PrimitiveNode")
_SUBGRAPH = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MISSING = re.compile(r"may not be installed|node (.+) does not exist")


def find_missing(answer: Mapping[str, Any]) -> str | None:
    """The class that ComfyUI refused a graph for because nothing has it; None: it refused it for something else."""
    error = answer.get("error")
    if not isinstance(error, dict) or not (found := _MISSING.search(str(error.get("message")))):
        return None
    extra = error.get("extra_info")
    named = extra.get("class_type") if isinstance(extra, dict) else None
    return named if isinstance(named, str) else found[1]


def rejection(missing: str, graph: Graph, schemas: Mapping[str, Any], *, whole: bool) -> WorkflowRejected:
    """The error for a graph with classes that ComfyUI does not have.

    missing: the one that it named. schemas: its /object_info. whole: that has all of ComfyUI's own classes.
    """
    lacking = {
        node_id: node["class_type"]
        for node_id, node in graph.nodes.items()
        if node["class_type"] == missing or (whole and node["class_type"] not in schemas)
    }
    packs = sorted({str(schema.get("python_module", "")) for schema in schemas.values()})
    installed = [module.partition(".")[2] for module in packs if module.startswith("custom_nodes.")]
    nodes = [(node_id, faults.name_node(node_id, graph), name) for node_id, name in lacking.items()]
    shown = ", ".join(where + _hint(name, schemas) for _, where, name in nodes[:SHOWN_NODES])
    more = f" and {len(nodes) - SHOWN_NODES} more" if len(nodes) > SHOWN_NODES else ""
    without = "" if any(module.startswith("comfy_api_nodes") for module in packs) else " (API nodes apart: API_NODES)"
    return WorkflowRejected(
        f"this endpoint's ComfyUI does not have the class of {shown}{more}. Beside its own classes{without} it has "
        f"those of the node packs {', '.join(installed) or '(none)'}; {PAGE} says how its operator adds a node pack",
        nodes=[{"node_id": node_id, "node": where, "class_type": cut(name)} for node_id, where, name in nodes],
        node_packs=installed,
    )


def _hint(name: str, schemas: Mapping[str, Any]) -> str:
    if name in EDITORS_OWN or _SUBGRAPH.fullmatch(name):
        return " (the editor's own, which Workflow > Export (API) leaves out or resolves: export the workflow again)"
    lowered = {known.lower(): known for known in schemas}
    near = difflib.get_close_matches(name.strip().lower(), lowered, n=1, cutoff=NEAR_IN_SPELLING)
    return f" (did you mean {lowered[near[0]]}?)" if near else ""
