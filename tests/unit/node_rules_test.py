"""Which node classes a caller's workflow may use."""

from collections.abc import Callable
from typing import Any

import pytest

from worker import config
from worker.errors import WorkflowRejected
from worker.graph import Rules, adapt, guard

HARMLESS = (
    "LoadImage",
    "ImageScale",
    "KSampler",
    "VAEDecode",
    "UNETLoader",
    "SaveImage",
    "SaveVideo",
    "VHS_VideoCombine",
)


def graph(class_type: str) -> dict[str, object]:
    return {"7": {"class_type": class_type, "inputs": {"codec": "auto"}, "_meta": {"title": "Mine"}}}


def adapted(class_type: str, is_installed: Callable[[str], bool] = lambda _: True, **environ: Any) -> None:
    settings = config.read(environ)
    adapt(
        graph(class_type),
        uploads={},
        image_name=None,
        prefix="job",
        rules=Rules(settings.nodes_allow, settings.nodes_deny, is_installed),
    )


@pytest.mark.parametrize(
    "class_type",
    [
        "LoadImageDataSetFromFolder",
        "LoadTrainingDataset",
        "SaveImageTextDataSetToFolder",
        "Load3D",
        "Load3DAdvanced",
        "RegexMatch",
        "RegexExtract",
        "RegexReplace",
        "StringFormat",
        "GLSLShader",
        "VHS_LoadVideoPath",
        "VHS_LoadImagesPath",
        "LoadImagesFromFolderKJ",
        "LoadImagesFromDir //Inspire",
        "Load Image From Url (mtb)",
        "LoadText|pysssss",
        "SaveText|pysssss",
        "ExecutePython",
        "PythonScript",
    ],
)
def test_nodes_that_run_code_or_leave_comfyuis_folders_are_refused_by_default(class_type):
    with pytest.raises(WorkflowRejected) as caught:
        adapted(class_type)
    message = caught.value.message
    assert all(word in message for word in ("node 7", "Mine", class_type, "WORKFLOW_NODES_DENY"))


@pytest.mark.parametrize("class_type", HARMLESS)
def test_ordinary_nodes_are_not(class_type):
    adapted(class_type)


def test_an_allow_list_refuses_all_else_and_the_deny_list_still_holds():
    allow: dict[str, Any] = {"WORKFLOW_NODES_ALLOW": "Load*, SaveImage"}
    adapted("LoadImage", **allow)
    for class_type in ("KSampler", "Load3D"):
        with pytest.raises(WorkflowRejected, match="WORKFLOW_NODES_"):
            adapted(class_type, **allow)


def test_a_deny_list_of_ones_own_takes_the_default_ones_place():
    adapted("Load3D", WORKFLOW_NODES_DENY="KSampler")
    with pytest.raises(WorkflowRejected, match="matches KSampler of WORKFLOW_NODES_DENY"):
        adapted("KSampler", WORKFLOW_NODES_DENY="KSampler")


class TestClasses:
    def test_one_that_nobody_reviewed_or_installed_is_refused_unless_a_setting_allows_it(self) -> None:
        def none_is(_: str) -> bool:
            return False

        with pytest.raises(WorkflowRejected, match="WORKFLOW_NODES_ALLOW"):
            adapted("NewInTheNextRelease", none_is)
        adapted("NewInTheNextRelease", none_is, WORKFLOW_NODES_ALLOW="*")
        adapted("NewInTheNextRelease", none_is, WORKFLOW_NODES_ALLOW="NewIn*")
        adapted("NewInTheNextRelease", lambda name: name == "NewInTheNextRelease")
        with pytest.raises(WorkflowRejected, match="WORKFLOW_NODES_DENY"):
            adapted("RegexMatch", none_is, WORKFLOW_NODES_ALLOW="*")

    def test_comfyui_is_asked_for_no_class_of_the_release(self) -> None:
        asked: list[str] = []
        for class_type in HARMLESS[:-1]:
            adapted(class_type, lambda name: bool(asked.append(name)))
        assert asked == []


ANY = Rules(allow="*")
HOSTILE = (
    "/etc/passwd",
    "../secret.png",
    "a/../../secret.png",
    "a.png [output]",
    "a.png [temp] ",
    "..\\secret.png",
    "C:\\secret.png",
    "http://10.0.0.1/a.png",
    "file:///etc/passwd",
    "a\0.png",
)
WRAPPED: tuple[Callable[[str], Any], ...] = (
    lambda path: path,
    lambda path: {"__value__": path},
    lambda path: {"image": path, "mask": ""},
    lambda path: ["a.png", path, "b.png"],
    lambda path: {"__value__": [["a.png", {"file": path}]]},
)
# Names that hold a word for a file, and no file: choices and texts that ComfyUI opens nothing by.
NO_FILES = {
    "direction",
    "filename_prefix",  # replaced in every node
    "missing_frame_fallback",
    "prefix",
}
FILE_FLAGS = ("upload", "image_folder", "remote", "LOAD_3D", "WEBCAM", "AUDIO_RECORD")


def file_inputs() -> list[tuple[str, str]]:
    """Of each class of the release the inputs that can name a file: by their kind, or by any part of their name."""
    parts = ("image", "audio", "video", "file", "mask", "latent", "path", "dir", "folder", "url", "uri", "model_")
    return [
        (class_type, name)
        for class_type, inputs in guard.reviewed().items()
        for name, kind in inputs.items()
        if (any(flag in kind for flag in FILE_FLAGS) or any(part in name for part in parts)) and name not in NO_FILES
    ]


def node_with(class_type: str, name: str, value: object) -> dict[str, Any]:
    text = {"class_type": "PrimitiveString", "inputs": {"value": "/etc/passwd"}}
    return {"7": {"class_type": class_type, "inputs": {name: value}}, "8": text}


def refused(graph: dict[str, Any], rules: Rules = ANY) -> bool:
    """Whether the graph is refused for an input of node 7, or of its end."""
    try:
        adapt(graph, uploads={}, image_name=None, prefix="job", rules=rules)
    except WorkflowRejected as error:
        return error.details.get("node_id") in {"7", "end"} and "input" in error.details
    return False


class TestFiles:
    def test_the_release_has_such_inputs(self) -> None:
        assert {("LoadImage", "image"), ("RecordAudio", "audio"), ("Painter", "mask")} <= set(file_inputs())
        assert len(file_inputs()) > 30

    @pytest.mark.parametrize(("class_type", "name"), file_inputs())
    def test_an_input_of_the_release_that_can_name_a_file_names_none_elsewhere(
        self, class_type: str, name: str
    ) -> None:
        passed = [
            (path, number)
            for path in HOSTILE
            for number, wrap in enumerate(WRAPPED)
            if not refused(node_with(class_type, name, wrap(path)))
        ]
        assert passed == []

    @pytest.mark.parametrize(("class_type", "name"), file_inputs())
    def test_nor_by_a_link_from_a_text(self, class_type: str, name: str) -> None:
        assert refused(node_with(class_type, name, ["8", 0]))

    @pytest.mark.parametrize(
        ("class_type", "name"), [("LoadImage", "image"), ("WebcamCapture", "image"), ("RecordAudio", "audio")]
    )
    def test_a_files_name_is_a_text_of_its_own(self, class_type: str, name: str) -> None:
        assert not refused(node_with(class_type, name, "sub/a.png"))
        for value in (5, None, ["a.png"], {"a": 1}):
            assert refused(node_with(class_type, name, value))
        graph = node_with(class_type, name, ["9", 0])
        graph["9"] = {"class_type": "SomebodysNode", "inputs": {}}
        assert refused(graph)

    @pytest.mark.parametrize(
        "name",
        ["image2", "video_path", "saveDir", "inputFolder", "FILE", "mask_image", "model_file", "url", "directory"],
    )
    def test_the_same_holds_for_a_class_that_nobody_knows(self, name: str) -> None:
        assert all(refused(node_with("SomebodysNode", name, path)) for path in HOSTILE)
        assert refused(node_with("SomebodysNode", name, ["8", 0]))
        for harmless in ("a.png", "sub/a.png", "a.png [input]", 5, None, ["9", 0], {"a": 1}, ["a.png", 2.5, "b.png"]):
            graph = node_with("SomebodysNode", name, harmless)
            graph["9"] = {"class_type": "LoadImage", "inputs": {"image": "a.png"}}
            assert not refused(graph)

    @pytest.mark.parametrize(
        ("class_type", "outputs", "slot", "brings"),
        [
            ("ReplaceText", None, 0, True),
            ("SaveText", None, 0, True),
            ("TextGenerate", None, 0, True),
            ("LoadImage", None, 0, False),
            ("WanDancerEncodeAudio", None, 0, False),
            ("WanDancerEncodeAudio", None, 1, True),
            ("Load3D", None, 3, False),
            ("Load3D", None, 2, True),
            ("Load3D", None, -6, True),
            ("Load3D", None, -3, False),
            ("TheirChoice", ("IMAGE", "COMBO"), -1, True),
            ("TheirChoice", ("IMAGE", "COMBO"), -2, False),
            ("TheirChoice", ("IMAGE",), -2, True),
            ("ShowText|pysssss", ("STRING",), 0, True),
            ("TheirSwitch", ("*",), 0, True),
            ("TheirChoice", ("IMAGE", "COMBO"), 1, True),
            ("TheirChoice", ("IMAGE", "COMBO"), 0, False),
            ("TheirLoader", ("IMAGE",), 0, False),
            ("NotInstalled", None, 0, False),
            ("TheirLoader", ("IMAGE",), 5, True),
        ],
    )
    @pytest.mark.parametrize("passing", [0, 1, 30])
    def test_whatever_may_bring_a_text_names_no_file_however_it_comes(
        self, class_type: str, outputs: tuple[str, ...] | None, slot: int, brings: bool, passing: int
    ) -> None:
        graph = {"0": {"class_type": class_type, "inputs": {}}}
        for number in range(passing):
            link = [str(number), 0 if number else slot]
            graph[str(number + 1)] = {"class_type": "ComfySwitchNode", "inputs": {"on_true": link, "switch": True}}
        link = [str(passing), 0 if passing else slot]
        graph["end"] = {"class_type": "SomebodysNode", "inputs": {"video_path": link}}
        assert refused(graph, Rules(allow="*", outputs_of={class_type: outputs}.get)) == brings

    @pytest.mark.parametrize(
        ("class_type", "name", "is_open"),
        [
            ("SaveImage", "images", False),
            ("KSampler", "model", False),
            ("SaveImage", "image_path", True),
            ("BatchImagesNode", "images.image0", True),
            ("TheirCombine", "images", False),
            ("TheirCombine", "video_path", True),
            ("TheirCombine", "folder", True),
            ("TheirCombine", "file", True),
        ],
    )
    def test_an_image_comes_from_a_node_that_passes_on_anything(
        self, class_type: str, name: str, is_open: bool
    ) -> None:
        graph: dict[str, Any] = {"0": {"class_type": "TheirSwitch", "inputs": {}}}
        graph["end"] = {"class_type": class_type, "inputs": {name: ["0", 0]}}
        inputs = {"TheirCombine": {"images": "IMAGE", "video_path": "STRING", "folder": "PATH"}}
        rules = Rules(outputs_of=lambda _: ("*",), inputs_of=lambda name: inputs.get(name, {}))
        assert refused(graph, rules) == is_open

    def test_a_text_in_a_switch_names_no_file_and_a_circle_of_switches_ends(self) -> None:
        switch = {"class_type": "ComfySwitchNode", "inputs": {"on_true": "/etc/passwd"}}
        assert refused(node_with("SomebodysNode", "path", ["9", 0]) | {"9": switch})
        circle = {"class_type": "CreateList", "inputs": {f"inputs.input{n}": ["9", 0] for n in range(50)}}
        assert not refused(node_with("SomebodysNode", "path", ["9", 0]) | {"9": circle})

    @pytest.mark.parametrize("name", ["text", "prompt", "negative_prompt", "seed", "imagery", "profile", "director"])
    def test_a_text_may_be_any(self, name: str) -> None:
        assert not refused(node_with("CLIPTextEncode", name, "/etc is ../here: http://a [output]"))


def formula(expression: object) -> dict[str, Any]:
    return {"7": {"class_type": "ComfyMathExpression", "inputs": {"expression": expression, "values.a": 3}}}


class TestFormulas:
    """ComfyUI evaluates them in Python, which holds every other thread while it counts."""

    @pytest.mark.parametrize(
        "expression",
        [
            "3999999**3999999",
            "a ** b",
            "2**(3999999)",
            "2 **3**13",
            "2**9_999_999",
            "2**1e6",
            "2**0xfffff",
            "pow(pow(pow(9, 4000), 4000), 4000)",
            "pow (a, b) + pow(b, a)",
            "'%0999999999d' % 1",
            '"a" * 99999',
            "f'{1:>999999999}'",
            "+".join(["a"] * 600),
            ["8", 0],
            {"__value__": "1"},
            5,
        ],
        ids=lambda value: str(value)[:30],
    )
    def test_one_that_may_not_end_is_refused(self, expression: object) -> None:
        text = {"8": {"class_type": "PrimitiveString", "inputs": {"value": "9**9**9"}}}
        assert refused(formula(expression) | text)

    @pytest.mark.parametrize(
        "expression",
        [
            "a + b",
            "ceil(a / 32) * 32",
            "sqrt(a**2 + b**2)",
            "a**0.5",
            "a ** -1",
            "pow(a, b)",
            "a if a > b else b",
            "a^2",
        ],
    )
    def test_an_ordinary_one_is_not(self, expression: str) -> None:
        assert not refused(formula(expression))
