"""A caller's own graph made fit for a job: its pictures and folder put in, and what it may not do refused."""

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from worker.errors import WorkflowRejected
from worker.graph import guard
from worker.graph.graph import Graph, title_of
from worker.graph.guard import Rules
from worker.input.faults import cut

MAX_NODES = 2000
MAX_DEPTH = 32
MAX_NUMBER = 10**12  # of a node that is named by one
LONGEST_NAME = 300
MAX_PREFIX_PARTS = 8
MAX_PREFIX_PART = 100

IMAGE_LOADERS = ("LoadImage", "LoadImageMask", "LoadImageOutput")
_OWN_FOLDER = re.compile(r"\s*\[input\]\s*$", re.IGNORECASE)
MODEL_SUFFIXES = (".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf", ".onnx")
# ComfyUI 0.33 accepts any value here and fails in the node, which a saver is after all the sampling.
CHOICES = {
    "SaveVideo": ("codec", ("auto", "h264")),
    "SaveImageAdvanced": ("format", ("png", "exr")),
    "SaveAudioAdvanced": ("format", ("flac", "mp3", "opus")),
}
_NO_JSON = "a value that JSON does not have, such as NaN, Infinity or half of a surrogate pair"
# What these make goes to the temp folder or a socket, which no answer is made from.
PREVIEWS = ("PreviewImage", "MaskPreview", "SaveImageWebsocket")
# These write to the temp folder and have no filename_prefix. They ignore one, and ComfyUI's cache, which goes by the
# inputs, does not give the last job's file for theirs: that is gone.
TEMP_SAVERS = (
    *("PreviewImage", "MaskPreview", "PreviewAudio", "ImageCompare", "ImageCompositor", "CreateBoundingBoxes"),
    *("Preview3D", "Preview3DAdvanced", "PreviewGaussianSplat", "PreviewPointCloud", "SAM3_TrackPreview"),
)


def adapt(
    workflow: dict[str, Any],
    *,
    uploads: Mapping[str, str],
    image_name: str | None,
    prefix: str,
    rules: Rules,
) -> Graph:
    """The caller's own graph with the job's pictures and folder in it; raises WorkflowRejected naming the node.

    uploads: the name of each of the caller's images, and its name in ComfyUI's input folder.
    image_name: the start picture's name there; it goes to every image loader that names none of `uploads`.
    prefix: the job's own folder in ComfyUI's output folder.
    rules: which node classes it may use.
    """
    nodes = _checked_copy(workflow)
    for node_id, node in nodes.items():
        if fault := rules.find_fault(node["class_type"]):
            raise _rejected(node_id, node, f"{cut(node['class_type'])}: {fault}", "class_type")
    warnings = _place_images(nodes, uploads, image_name)
    for node_id, node in nodes.items():
        _check_paths(node_id, node, nodes, rules)
    warnings += _place_savers(nodes, prefix)
    for node_id, node in nodes.items():
        _check_links(node_id, node, nodes, rules)
        _check_choice(node_id, node)
    _check_something_is_saved(nodes)
    return Graph(nodes, warnings=tuple(warnings))


def _checked_copy(workflow: dict[str, Any]) -> dict[str, Any]:
    if isinstance(workflow.get("nodes"), list):
        raise WorkflowRejected(
            "workflow: this is the editor's own format; in ComfyUI choose Workflow > Export (API) and send that file"
        )
    if not 0 < len(workflow) <= MAX_NODES:
        raise WorkflowRejected(f"workflow: must have 1 to {MAX_NODES} nodes, has {len(workflow)}")
    if _is_deeper(workflow, MAX_DEPTH):
        raise WorkflowRejected(f"workflow: values are nested deeper than {MAX_DEPTH} levels")
    for node_id, node in workflow.items():
        _check_node(node_id, node)
    try:
        copy: dict[str, Any] = json.loads(_write_json(workflow))
    except (ValueError, TypeError):
        raise _find_no_json(workflow) from None
    for node in copy.values():
        if not isinstance(node.get("_meta", {}), dict):
            del node["_meta"]  # ComfyUI answers HTTP 500 to it where it cannot run the node
        node["inputs"] = {name: _put_right(value, copy) for name, value in (node.get("inputs") or {}).items()}
    return copy


def _find_no_json(workflow: Mapping[str, Any]) -> WorkflowRejected:
    """Which node has the value that JSON does not have."""
    for node_id, node in workflow.items():
        for name, value in (node.get("inputs") or {}).items():
            try:
                _write_json({name: value})
            except (ValueError, TypeError):  # noqa: PERF203 - once, in a graph that is refused
                return _rejected(node_id, node, f"{cut(str(name))} holds {_NO_JSON}", cut(str(name)))
    return WorkflowRejected(f"workflow: holds {_NO_JSON}")


def _write_json(value: object) -> bytes:
    """Raises UnicodeEncodeError, a ValueError, for half of a surrogate pair."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


def _put_right(value: object, nodes: Mapping[str, Any]) -> object:
    """A model's name as Windows writes it, as ComfyUI on Linux lists it; a link with a node's number, with its id."""
    if isinstance(value, str) and "\\" in value and value.lower().endswith(MODEL_SUFFIXES):
        return value.replace("\\", "/")
    if not (isinstance(value, list) and len(value) == 2):
        return value
    node = str(value[0]) if type(value[0]) is int and abs(value[0]) < MAX_NUMBER else value[0]
    if not (isinstance(node, str) and node in nodes):
        return value
    slot = value[1]
    return [node, int(slot) if isinstance(slot, str) and re.fullmatch(r"\d{1,9}", slot) else slot]


def _check_links(node_id: str, node: dict[str, Any], nodes: Mapping[str, Any], rules: Rules) -> None:
    """ComfyUI looks at no link of an input that the node's class does not have; a bad one ends its prompt thread."""
    for name, value in node["inputs"].items():
        if not _is_link(value):
            continue
        if value[0] not in nodes:
            fault = f"{cut(name)} comes from node {cut(value[0])}, which the workflow does not have"
            raise _rejected(node_id, node, fault, name)
        count, slot = rules.count_outputs(nodes[value[0]]["class_type"]), value[1]
        if count is None or not isinstance(slot, (int, float)):
            continue
        if not isinstance(slot, int) or slot not in range(-count, count):
            fault = f"{cut(name)} comes from output {cut(str(slot))} of node {cut(value[0])}, which has {count}"
            raise _rejected(node_id, node, f"{fault}; the first is 0", name)


def _check_choice(node_id: str, node: dict[str, Any]) -> None:
    name, choices = CHOICES.get(node["class_type"], (None, ()))
    if name and node["inputs"].get(name) not in choices:
        value = node["inputs"].get(name)
        given = f"is {cut(repr(value))}" if name in node["inputs"] else "is missing"
        raise _rejected(node_id, node, f"{name} {given}: use {' or '.join(choices)}", name)


def _is_deeper(value: object, levels: int) -> bool:
    level = [value]
    for _ in range(levels):
        level = [child for item in level for child in _children(item)]
    return bool(level)


def _children(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _check_node(node_id: str, node: object) -> None:
    if not isinstance(node, dict):
        raise _rejected(node_id, node, "must be an object with class_type and inputs, as Workflow > Export (API) makes")
    for field, kinds, name in (("class_type", (str,), "text"), ("inputs", (dict, type(None)), "an object")):
        if not isinstance(node.get(field), kinds):
            raise _rejected(node_id, node, f"{field} must be {name}, as Workflow > Export (API) makes it")


def _place_images(nodes: dict[str, Any], uploads: Mapping[str, str], image_name: str | None) -> list[str]:
    """Put the uploaded pictures where the graph names them; returns warnings."""
    unused, loaders = set(uploads), 0
    sent = {_plain_name(name): name for name in uploads}
    for node in nodes.values():
        files = {
            name: sent.get(_plain_name(value))
            for name, value in node["inputs"].items()
            if isinstance(value, str) and len(value) < LONGEST_NAME and _is_file(node, name, value)
        }
        named = {name: file for name, file in files.items() if file}
        node["inputs"].update({name: uploads[file] for name, file in named.items()})
        unused -= set(named.values())
        if image_name and node["class_type"] in IMAGE_LOADERS and "image" not in named:
            node["inputs"]["image"] = image_name
            loaders += 1
    if image_name and not loaders:
        raise WorkflowRejected("workflow: no LoadImage node is left for the image; add one, or omit image")
    return [f"images: no node uses {name!r}" for name in sorted(unused)]


def _plain_name(name: str) -> str:
    """A file's name without ComfyUI's word for its folder, each accent written as Unicode's form C has it."""
    return unicodedata.normalize("NFC", _OWN_FOLDER.sub("", name)).removeprefix("./")


def _is_file(node: dict[str, Any], name: str, value: str) -> bool:
    # A text that happens to equal an image's name is told from a file by the missing suffix.
    known = guard.takes_file_name(node["class_type"], name)
    return name != guard.PREFIX and (known or bool(PurePosixPath(_plain_name(value)).suffix))


def _check_paths(node_id: str, node: dict[str, Any], nodes: Mapping[str, Any], rules: Rules) -> None:
    """Refuse what would read or write outside ComfyUI's folders, or hang it; a saver's prefix is replaced anyway."""
    for name in node["inputs"]:
        if name != guard.PREFIX and (fault := guard.find_file_fault(node, name, nodes, rules)):
            raise _rejected(node_id, node, f"{cut(name)} {fault}; send the file in images and name it as there", name)
    if fault := guard.find_expression_fault(node):
        raise _rejected(node_id, node, f"expression {fault}", "expression")


def _place_savers(nodes: dict[str, Any], prefix: str) -> list[str]:
    """Have every saver write into the job's own folder, under its own name; returns warnings."""
    warnings = []
    for node_id, node in nodes.items():
        if guard.PREFIX not in node["inputs"] and node["class_type"] not in TEMP_SAVERS:
            continue
        own = node["inputs"].get(guard.PREFIX, "")
        if not isinstance(own, str):
            warnings.append(f"node {title_of(node, node_id)!r}: its filename_prefix is not plain text and was replaced")
            own = ""
        node["inputs"][guard.PREFIX] = f"{prefix}/{_safe_prefix(own)}"
    return warnings


def _safe_prefix(own: str) -> str:
    parts = [_cut_bytes(part) for part in re.split(r"[/\\]", own.replace("\0", ""))]
    kept = [part for part in parts if part.strip(". ")]
    return "/".join(kept[-MAX_PREFIX_PARTS:]) or "ComfyUI"


def _cut_bytes(part: str) -> str:
    # A file's name holds 255 bytes, of which ComfyUI's counter and suffix need some.
    return part.encode("utf-8", "ignore")[:MAX_PREFIX_PART].decode("utf-8", "ignore").strip()


def _check_something_is_saved(nodes: dict[str, Any]) -> None:
    sources = {value[0] for node in nodes.values() for value in node["inputs"].values() if _is_link(value)}
    ends = {node["class_type"] for node_id, node in nodes.items() if node_id not in sources}
    if ends and ends <= set(PREVIEWS):
        raise WorkflowRejected(
            f"workflow: only previews ({', '.join(sorted(ends))}), which are never returned; add SaveImage or SaveVideo"
        )


def _is_link(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str)


def _rejected(node_id: str, node: object, fault: str, field: str | None = None) -> WorkflowRejected:
    title = title_of(node, node_id)
    details = {"node_id": cut(node_id), "node_title": title} | ({"input": field} if field else {})
    return WorkflowRejected(f"node {cut(node_id)} ({title}): {fault}", **details)
