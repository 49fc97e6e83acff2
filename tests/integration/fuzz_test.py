"""Generated requests and callers' workflows through whole jobs: an answer or a named error, and nothing left behind.

`make fuzz` runs 10,000 and 2,000; `make test` a few. What is checked of parse and adapt alone is in tests/unit.
"""

import base64
import copy
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local import engine as preview
from tests.conftest import Run
from tests.helpers import gradient
from tests.odd_comfyui import OddComfyUI, odd_comfyui
from worker.errors import InvalidInput, WorkerError, WorkflowRejected
from worker.input.request import Request

pytestmark = pytest.mark.timeout(7200)
LONGEST = 60.0  # seconds: far above any of these jobs on a busy machine; a hang is longer

# Where a size or a count is valid it is small: the jobs that parse run.
NUMBERS = st.sampled_from([-1, 0, 1, 2, 5, 16, 64, 2**40, 2**70, -0.5, 1.5, 1e300, True, "64", " 7", "1e3", "x"])
TEXTS = st.sampled_from(
    [
        *("", " ", "a", "0", "null", "猫", "\ud800", "\0", "%s%n{}", "a" * 300, "x" * 20_000, "%year%/%date:yyyy%"),
        *("../up", "../../out", "/etc/hostname", "..\\up", "C:\\x", "job/../../x", "n [temp]"),
        *("file:///etc/passwd", "http://127.0.0.1:1/x"),
    ]
)
JUNK = st.one_of(
    st.none(),
    NUMBERS,
    TEXTS,
    st.sampled_from([[], {}, [[]], {"a": {"b": [1]}}, [1, 2], ["1", 0], ["1", 7], ["9", 0], {"__value__": "/etc"}]),
).map(copy.deepcopy)  # what is drawn is changed


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[preview.Engine]:
    home = tmp_path_factory.mktemp("fuzz") / "neighbours" / "home"
    home.mkdir(parents=True)
    with preview.start(home=home, scenario=preview.Scenario(step_seconds=0)) as running:
        yield running


def listing(engine: preview.Engine) -> list[Path]:
    """Every path around and in ComfyUI's folders: two levels up is where a climbing path would lead."""
    return sorted(engine.home.parents[1].rglob("*"))


@pytest.fixture
def outcome(run: Callable[..., Any], engine: preview.Engine) -> Callable[[Any], WorkerError | None]:
    """Run a job's input as a whole job and check what holds for all; returns its error, if it ended in one."""
    before = listing(engine)

    def run_job(job_input: Any) -> WorkerError | None:
        started, found = time.monotonic(), None
        try:
            answer = run(engine, job_input, job_timeout=LONGEST)
        except WorkerError as error:
            answer, found = error.answer(), error
        assert answer.get("code") not in {"internal", "timeout", "config", "comfyui_unavailable"}, answer
        assert "internal error" not in json.dumps(answer)  # of one way of delivery
        assert time.monotonic() - started < LONGEST
        assert listing(engine) == before
        return found

    return run_job


def explore(count: int, strategy: st.SearchStrategy[Any], check: Callable[[Any], None]) -> None:
    """Check `count` examples: the same ones every time where they are few."""
    options = settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=count < 1000,
        suppress_health_check=list(HealthCheck),
    )
    options(given(strategy)(check))()


@st.composite
def requests(draw: st.DrawFn, small: Callable[..., dict[str, Any]]) -> Any:
    """A job's input with up to four fields replaced, removed, or added under a wrong name."""
    wanted = small(steps=1, num_frames=draw(st.integers(1, 5)), width=64, height=64, delivery="inline")
    names = st.sampled_from([*Request.model_fields, "promt", "Image", "imageUrl", ""])
    for name in draw(st.lists(names, max_size=4)):
        if draw(st.integers(0, 4)):
            wanted[name] = draw(JUNK)
        else:
            wanted.pop(name, None)
    return draw(st.sampled_from([wanted] * 19 + [None, [], "text"]))


def test_any_request_ends_in_an_answer_or_in_an_error_that_names_the_field(request, outcome, small):
    ends: Counter[str] = Counter()

    def check(job_input: Any) -> None:
        error = outcome(job_input)
        ends[error.code if error else "success"] += 1
        if type(error) is InvalidInput and isinstance(job_input, dict):
            known = {*Request.model_fields, *job_input, "input"}  # "input" stands for a field without a name
            assert error.details["fields"]
            assert {name.split(".")[0].split("[")[0] for name in error.details["fields"]} <= known

    explore(request.config.getoption("--fuzz-requests"), requests(small), check)
    assert ends["success"]
    assert ends["invalid_input"]


def scale(**inputs: Any) -> dict[str, Any]:
    wanted = {"image": ["1", 0], "upscale_method": "bilinear", "width": 32, "height": 32, "crop": "disabled", **inputs}
    return {"class_type": "ImageScale", "inputs": wanted}


def base_graph() -> dict[str, Any]:
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": "mine.png"}},
        "2": scale(),
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "mine"}},
        "4": {"class_type": "CreateVideo", "inputs": {"images": ["2", 0], "fps": 8}},
        "5": {
            "class_type": "SaveVideo",
            "inputs": {"video": ["4", 0], "filename_prefix": "v", "format": "auto", "codec": "auto"},
        },
    }


CLASSES = [
    "LoadImage",
    "LoadImageMask",
    "ImageScale",
    "SaveImage",
    "SaveVideo",
    "SaveAnimatedWEBP",
    "PreviewImage",
    "VAEDecode",
    "LoadVideo",
    "LoadImageDataSetFromFolder",
    "NoSuchNode",
    "ExecutePython",
]


@st.composite
def workflows(draw: st.DrawFn) -> Any:
    """A graph that runs, with up to four things in it changed."""
    graph = base_graph()
    for _ in range(draw(st.integers(0, 4))):
        node_id = draw(st.sampled_from([*graph, "new"]))
        node = graph.get(node_id) or scale()
        graph[node_id] = node
        change = draw(st.sampled_from(["input", "input", "input", "class", "node", "remove", "key"]))
        if change == "input" and isinstance(node, dict) and isinstance(node.get("inputs"), dict):
            names = [*node["inputs"], "filename_prefix", "path", "image", "extra"]
            node["inputs"][draw(st.sampled_from(names))] = draw(JUNK)
        elif change == "class" and isinstance(node, dict):
            node["class_type"] = draw(st.sampled_from(CLASSES) | JUNK)
        elif change == "key" and isinstance(node, dict):
            node[draw(st.sampled_from(["inputs", "class_type", "_meta", "is_changed"]))] = draw(JUNK)
        elif change == "node":
            graph[node_id] = draw(JUNK)
        elif change == "remove":
            del graph[node_id]
    return graph


def test_any_workflow_ends_in_an_answer_or_in_an_error_that_names_the_node(request, outcome, picture):
    ends: Counter[str] = Counter()
    image = picture()

    def check(graph: Any) -> None:
        images = [{"name": "mine.png", "image": image}]
        error = outcome({"workflow": json.loads(json.dumps(graph)), "images": images})
        ends[error.code if error else "success"] += 1
        if isinstance(error, WorkflowRejected):
            assert "node" in error.message or "workflow" in error.message

    explore(request.config.getoption("--fuzz-workflows"), workflows(), check)
    assert ends["success"]
    assert ends["workflow_rejected"]


NAMES = st.sampled_from(
    ["p.png", "a.mp4", "a.txt", "", None, 5, "x" * 300, "../p.png", "/etc/passwd", "\0", "\ud800", [], {}]
)
ENTRIES = st.one_of(
    JUNK, st.fixed_dictionaries({}, optional={"filename": NAMES, "subfolder": NAMES, "type": NAMES, "format": JUNK})
)
NODES = st.one_of(
    JUNK,
    st.dictionaries(
        st.sampled_from(["images", "gifs", "animated", "text", "audio", "", "3d"]), st.lists(ENTRIES, max_size=3) | JUNK
    ),
)
MESSAGES = st.lists(st.tuples(st.sampled_from(["execution_error", "execution_success", "x"]), JUNK))
HISTORIES = st.fixed_dictionaries(
    {"outputs": st.dictionaries(st.sampled_from(["9", "1", "a", ""]), NODES, max_size=4) | JUNK},
    optional={
        "status": JUNK
        | st.fixed_dictionaries(
            {},
            optional={
                "messages": st.lists(st.tuples(st.sampled_from(["execution_error", "execution_success", "x"]), JUNK))
                | JUNK,
                "status_str": st.sampled_from(["success", "error"]) | JUNK,
            },
        )
    },
)
ENDS = {"success", "comfyui_unavailable", "output_failed", "execution_failed", "workflow_rejected", "timeout"}
ROUTES = st.sampled_from(["/system_stats", "/object_info", "/upload", "/prompt", "/queue", "/view", "/history"])


def test_whatever_comfyui_says_a_job_ends_in_an_answer_or_in_an_error_of_its_own(
    request: pytest.FixtureRequest, run: Run
) -> None:
    ends: Counter[str] = Counter()
    comfyui = OddComfyUI()

    def check(history: dict[str, Any], routes: dict[str, Any]) -> None:
        comfyui.outputs, comfyui.status = history["outputs"], history.get("status", {})
        comfyui.answers, comfyui.prompts = routes, []
        comfyui.files = {"p.png": base64.b64decode(gradient()), "a.mp4": b"no video"}
        began = time.monotonic()
        answer, ended = {"outputs": [None]}, "success"
        try:
            answer = run(
                comfyui,
                {"workflow": base_graph(), "image": gradient()},
                boot_timeout=0.1,
                job_timeout=2.0,
                stop_timeout=0.5,
            )
        except WorkerError as error:
            answer, ended = {**error.answer(), "outputs": [None]}, error.code
        ends[ended] += 1
        assert answer["outputs"]
        assert ended in ENDS
        json.dumps(answer).encode()
        assert time.monotonic() - began < LONGEST

    wrong = st.dictionaries(ROUTES, JUNK, max_size=1)
    with odd_comfyui(comfyui):
        explore(request.config.getoption("--fuzz-answers"), st.tuples(HISTORIES, wrong), lambda drawn: check(*drawn))
    assert len(ends) > 1, ends  # not each odd thing is the same to it
