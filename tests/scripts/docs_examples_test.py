"""The pages' requests, run as they stand against `handler.py`; and the log that SOLUTION.md says one sees then."""

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from client.worker_process import worker_process
from tests.helpers import count_frames
from tests.javascript_modules import javascript_modules
from tests.pages import ROOT, blocks, codes, rows
from tests.scripts.container import Container, wait_for
from worker.schemas import Answer, File

BOOT = "The boot of a container"
LOCALLY = ("The handler, from its start to its first job", "One job")


@dataclass
class Served:
    url: str
    log: Path

    def run(self, *command: str, folder: Path) -> "subprocess.CompletedProcess[str]":
        """Run a page's example in a folder that has the repository's examples/."""
        (folder / "examples").symlink_to(ROOT / "examples")
        caller = {"RUNPOD_API_KEY": "local", "ENDPOINT_ID": "local", "RUNPOD_ENDPOINT_BASE_URL": f"{self.url}/v2"}
        return subprocess.run(
            command, cwd=folder, env=os.environ | caller, capture_output=True, text=True, timeout=60, check=False
        )


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    log = tmp_path_factory.mktemp("worker") / "log"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("COMFYUI_PORT", "9")  # nothing listens: the preview engine answers
        with worker_process(log) as url:
            yield Served(url, log)


def example_of(language: str, word: str) -> str:
    """The one block of API.md in that language that has the word."""
    (found,) = [block for page, block in blocks(language) if page == "docs/API.md" and word in block]
    return found


def test_the_python_example_saves_the_clip_and_its_frames(served: Served, tmp_path: Path) -> None:
    done = served.run(sys.executable, "-c", example_of("python", "runpod"), folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert count_frames(tmp_path / "clip.mp4") == 9
    assert len(list(tmp_path.glob("frame_*.jpg"))) == 9


def test_the_curl_example_gets_an_answer_with_the_fields_that_are_declared(served: Served, tmp_path: Path) -> None:
    done = served.run("bash", "-euc", example_of("bash", "curl"), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads((tmp_path / "answer.json").read_text())["output"]
    assert answer["status"] == "success"
    assert set(answer) == set(Answer.model_fields) - {"images"}
    assert set().union(*answer["outputs"]) <= set(File.model_fields)
    assert len(answer["outputs"]) == 10


def test_the_request_of_the_readme_gets_the_answer_that_the_api_reference_shows(served: Served, tmp_path: Path) -> None:
    (request,) = [block for page, block in blocks("sh") if page == "README.md" and "curl" in block]
    shown = json.loads(example_of("json", "COMPLETED"))
    done = served.run("bash", "-euc", request.replace("http://localhost:8000", served.url), folder=tmp_path)
    report = json.loads(done.stdout)
    assert set(report) == set(shown)
    assert set(report["output"]) == set(shown["output"])
    told = ("width", "height", "num_frames", "fps", "seed", "settings")
    assert [report["output"][name] for name in told] == [shown["output"][name] for name in told]
    assert set(report["output"]["timings"]) == set(shown["output"]["timings"])
    for entry, example in zip(report["output"]["outputs"], shown["output"]["outputs"], strict=False):
        assert ({**entry, "data": "..."} if "data" in entry else entry) == example
    assert len(report["output"]["outputs"]) == 17


# The preview engine plays ComfyUI's own nodes, and no pack's.
JOBS = [json.loads(block) for page, block in blocks("json") if page == "docs/WORKFLOWS.md" and "VHS_" not in block]


@pytest.mark.parametrize("body", JOBS, ids=lambda body: ",".join(body["input"]))
def test_a_job_of_the_workflows_page_saves_files(served: Served, body: dict[str, Any]) -> None:
    image = base64.b64encode((ROOT / "examples" / "rocket.jpg").read_bytes()).decode()
    job = json.loads(json.dumps(body).replace("iVBORw0KGgo...", image))
    answer = requests.post(f"{served.url}/runsync", json=job, timeout=60).json()["output"]
    assert answer["status"] == "success", answer
    saver = str(body["input"].get("workflow"))
    assert answer["outputs"][0]["type"] == ("image" if "SaveImage" in saver else "video")
    assert [image["type"] for image in answer.get("images") or []] == ["base64"] * ("SaveImage" in saver)


def test_the_javascript_example_saves_the_clip_and_its_frames(served: Served, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(javascript_modules() / "node_modules")
    (tmp_path / "clip.mjs").write_text(example_of("js", "runpod-sdk"))
    done = served.run("node", "clip.mjs", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert count_frames(tmp_path / "clip.mp4") == 9
    assert len(list(tmp_path.glob("frame_*.jpg"))) == 9


@pytest.mark.parametrize(("given", "message"), rows("docs/API.md", "input")[:1])
def test_an_error_arrives_as_the_page_says(served: Served, given: str, message: str) -> None:
    body = {"input": json.loads(given.strip("`")) or {"steps": 1}}
    report = requests.post(f"{served.url}/runsync", json=body, timeout=30).json()
    assert report["status"] == "FAILED"
    assert report["error"] == f"invalid_input: {message.strip('`')}"
    assert report["output"]["code"] == "invalid_input"


def lines_of(*titles: str) -> list["re.Pattern[str]"]:
    """The first column of the tables below those headings of SOLUTION.md; `...` stands for anything."""
    text = (ROOT / "docs" / "SOLUTION.md").read_text()
    sections = [text.partition(f"### {title}\n")[2].partition("\n#")[0] for title in titles]
    lines = [codes(line)[0] for section in sections for line in section.splitlines() if line.startswith("| `")]
    return [re.compile(".*".join(map(re.escape, line.split("...")))) for line in lines]


def test_the_log_has_the_lines_of_the_page_in_their_order(served: Served, tmp_path: Path) -> None:
    program = [sys.executable, str(ROOT / "test_runpod_local.py"), "sync", "--url", served.url, "--frames", "1"]
    subprocess.run([*program, "--resolution", "480p"], cwd=tmp_path, check=True, timeout=60, capture_output=True)
    log, place, lines = served.log.read_text(), 0, lines_of(*LOCALLY)
    assert len(lines) > 15
    for line in lines:
        found = line.search(log, place)
        assert found, f"{line.pattern} does not come after what is above it"
        place = found.start()


def test_the_boot_has_the_lines_of_the_page(tmp_path: Path) -> None:
    container, lines = Container(tmp_path), lines_of(BOOT)
    container.fill_volume()
    container.start()
    try:
        wait_for(container.says("models in place"))
        wait_for(container.says("disk: "))
        missing = [line.pattern for line in lines if not line.search(container.text)]
    finally:
        container.end()
    # The models of this boot are whole, and of another size than the published ones, which it says instead.
    assert missing == [re.escape("models: ") + ".*" + re.escape(" is whole")]
