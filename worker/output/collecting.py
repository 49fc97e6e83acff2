"""What a prompt made, read from ComfyUI's folders: the files to send, the texts, and a word on what is left out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from worker.comfyui import ComfyUI, Limits, Outputs, SavedFile, Scope
from worker.errors import JobCancelled, OutputFailed, WorkerError
from worker.graph import Graph
from worker.input.faults import cut
from worker.output.file import OutputFile, find_main_type


@dataclass(frozen=True)
class Collected:
    """What a prompt made, read, in the order in which it was made, and what is left out."""

    files: tuple[OutputFile, ...]
    warnings: tuple[str, ...]


def collect(made: Outputs, graph: Graph, comfyui: ComfyUI, scope: Scope, ends: Limits) -> Collected:
    """The files in ComfyUI's output folder, finished videos and sounds among the previews, and texts that nodes show.

    The previews themselves where there is nothing else: somebody waited for them. Read from the disk, where no ComfyUI
    that dies or is busy is in the way, or else over HTTP. A file that is gone is told; raises OutputFailed where
    nothing is left.
    """
    sent, previews = _choose(made)
    files: list[OutputFile] = []
    lost: list[str] = []
    frame = 0
    for file in sent:
        ends.check_cancelled()
        name, quality = PurePosixPath(file.filename), None
        if file.node_id == graph.frames_node:
            frame += 1
            name, quality = PurePosixPath(f"frame_{frame:04d}{name.suffix}"), graph.frame_quality
        elif file.node_id == graph.video_node:
            name = PurePosixPath(f"clip{name.suffix}")
        try:
            data = scope.read(file)
            data = comfyui.fetch(file) if data is None else data
        except JobCancelled:
            raise
        except WorkerError as error:
            lost.append(error.message)
        else:
            files.append(OutputFile(name.name, data, file.animated, quality, file.node_id))
    files += [
        OutputFile(f"text_{number}.txt", text.text.encode(errors="replace"), node_id=text.node_id, shown=True)
        for number, text in enumerate(made.texts, 1)
    ]
    left_out = (*lost, *_tell_left_out(previews, made, graph))
    if not files:
        add = "the workflow saved no file in ComfyUI's output folder; add a saver, such as SaveImage"
        raise OutputFailed("; ".join((*([] if lost else [add]), *left_out)))
    return Collected(tuple(files), left_out)


def _choose(made: Outputs) -> tuple[list[SavedFile], list[SavedFile]]:
    """The files to send, and those that are previews only: in `temp`, and no video or sound that is there alone."""
    kept = [file for file in made.files if file.folder == "output"]
    others = [file for file in made.files if file.folder != "output"]
    missing = {"video", "audio"} - {find_main_type(file.filename) for file in kept}
    finished = [file for file in others if find_main_type(file.filename) in missing]
    if not (kept or finished or made.texts):
        finished = [file for file in others if file.folder == "temp"]
    return [*kept, *finished], [file for file in others if file not in finished]


def _tell_left_out(previews: Sequence[SavedFile], made: Outputs, graph: Graph) -> Iterator[str]:
    """A warning for each node some of whose outputs are not sent."""
    for node_id in dict.fromkeys(file.node_id for file in previews):
        names = [file.filename for file in previews if file.node_id == node_id]
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield f"node {cut(node_id)} ({graph.title(node_id)}): {cut(names[0])}{more} is a preview only, and not sent"
    for node_id, key in made.skipped:
        yield f"node {cut(node_id)} ({graph.title(node_id)}): what it has under {cut(key)!r} is no file and no text"
