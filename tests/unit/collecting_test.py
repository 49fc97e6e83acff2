"""What a prompt made, read from ComfyUI's folders: names, order, what is lost and what is only a preview."""

import threading
from pathlib import Path

import pytest

from worker.comfyui import ComfyUI, Limits, Scope
from worker.comfyui.outputs import Outputs, SavedFile, Text
from worker.errors import JobCancelled, OutputFailed
from worker.graph import Graph
from worker.output.collecting import Collected, collect
from worker.output.file import OutputFile

NODES = {"7": {"class_type": "SaveImage", "inputs": {}}, "9": {"class_type": "PreviewImage", "inputs": {}}}
OWN = Graph({}, video_node="1", frames_node="2", frame_quality=95)


def saved(filename: str, node_id: str = "7", folder: str = "output", subfolder: str = "") -> SavedFile:
    return SavedFile(node_id, filename, subfolder, folder, animated=filename.endswith(".gif"))


def collected(
    home: Path, *files: SavedFile, lost: tuple[SavedFile, ...] = (), graph: Graph | None = None, **made: object
) -> Collected:
    """What comes of files on the disk, and of those that neither it nor a ComfyUI (there is none) has."""
    for file in files:
        path = home / file.folder / file.subfolder / file.filename
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.filename.encode())
    comfyui = ComfyUI("http://127.0.0.1:9")
    outputs = Outputs(files=(*files, *lost), **made)  # type: ignore[arg-type]
    return collect(outputs, graph or Graph(NODES), comfyui, Scope(home), Limits(60, 60, 60, threading.Event()))


def test_a_callers_files_keep_their_names_nodes_and_order(tmp_path: Path) -> None:
    made = collected(tmp_path, saved("b.png"), saved("a.gif", "9"), texts=(Text("7", "one"), Text("9", "\ud800")))
    assert made == Collected(
        (
            OutputFile("b.png", b"b.png", node_id="7"),
            OutputFile("a.gif", b"a.gif", animated=True, node_id="9"),
            OutputFile("text_1.txt", b"one", node_id="7", shown=True),
            OutputFile("text_2.txt", b"?", node_id="9", shown=True),
        ),
        (),
    )


def test_the_workers_own_graph_names_clip_and_frames(tmp_path: Path) -> None:
    files = (saved("x_00001_.mp4", "1"), saved("y_00007_.jpg", "2"), saved("y_00008_.jpg", "2"), saved("z.png", "3"))
    made = collected(tmp_path, *files, graph=OWN)
    assert [(file.filename, file.quality, file.data) for file in made.files] == [
        ("clip.mp4", None, b"x_00001_.mp4"),
        ("frame_0001.jpg", 95, b"y_00007_.jpg"),
        ("frame_0002.jpg", 95, b"y_00008_.jpg"),
        ("z.png", None, b"z.png"),
    ]


def test_previews_are_told_once_for_each_node_and_skipped_outputs_too(tmp_path: Path) -> None:
    previews = [saved(name, node_id, "temp") for name, node_id in (("p.png", "9"), ("q.png", "9"), ("r.png", "7"))]
    made = collected(tmp_path, saved("a.png"), *previews, skipped=(("9", "odd"),))
    assert [file.filename for file in made.files] == ["a.png"]
    assert made.warnings == (
        "node 9 (PreviewImage): p.png and 1 more is a preview only, and not sent",
        "node 7 (SaveImage): r.png is a preview only, and not sent",
        "node 9 (PreviewImage): what it has under 'odd' is no file and no text",
    )


@pytest.mark.parametrize(
    ("kept", "temporary", "sent"),
    [
        ("a.png", "b.mp4", ["a.png", "b.mp4"]),
        ("a.png", "b.flac", ["a.png", "b.flac"]),
        ("a.mp4", "b.mp4", ["a.mp4"]),
        ("a.mp4", "b.png", ["a.mp4"]),
    ],
)
def test_a_finished_video_or_sound_is_sent_from_temp_where_none_is_saved(
    tmp_path: Path, kept: str, temporary: str, sent: list[str]
) -> None:
    made = collected(tmp_path, saved(kept), saved(temporary, "9", "temp"))
    assert [file.filename for file in made.files] == sent
    assert len(made.warnings) == 2 - len(sent)


def test_previews_are_sent_where_there_is_nothing_else(tmp_path: Path) -> None:
    previews = [saved("p.png", "9", "temp"), saved("in.png", "9", "input"), saved("q.png", "9", "temp")]
    alone = collected(tmp_path, *previews)
    assert [file.filename for file in alone.files] == ["p.png", "q.png"]
    assert alone.warnings == ("node 9 (PreviewImage): in.png is a preview only, and not sent",)
    for more in ({"texts": (Text("7", "one"),)}, {"lost": (saved("gone.png"),)}):
        with_more = collected(tmp_path, saved("b.mp4", "9", "temp"), *previews, **more)
        assert "p.png" not in [file.filename for file in with_more.files]
    finished = collected(tmp_path, saved("b.mp4", "9", "temp"), *previews)
    assert [file.filename for file in finished.files] == ["b.mp4"]


def test_a_file_that_is_gone_is_told_and_the_rest_goes(tmp_path: Path) -> None:
    made = collected(tmp_path, saved("a.png"), lost=(saved("gone.png"),))
    assert [file.filename for file in made.files] == ["a.png"]
    assert len(made.warnings) == 1


def test_nothing_at_all_is_an_error_that_says_why(tmp_path: Path) -> None:
    with pytest.raises(OutputFailed, match="SaveImage"):
        collected(tmp_path)
    messages = []
    for lost in ((saved("gone.png"),), (saved("too.png"),), (saved("gone.png"), saved("too.png"))):
        with pytest.raises(OutputFailed) as caught:
            collected(tmp_path, lost=lost)
        messages.append(caught.value.message)
    assert messages[2] == f"{messages[0]}; {messages[1]}"
    assert "SaveImage" not in messages[2]


def test_a_cancel_ends_it(tmp_path: Path) -> None:
    cancelled = threading.Event()
    cancelled.set()
    ends = Limits(60, 60, 60, cancelled)
    with pytest.raises(JobCancelled):
        collect(Outputs((saved("a.png"),)), OWN, ComfyUI("http://127.0.0.1:9"), Scope(tmp_path), ends)
