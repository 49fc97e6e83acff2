"""Whatever a caller or a node writes, wherever it can: it makes no line of the log, and no answer names the disk."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local import engine as preview
from tests.helpers import gradient, small_job
from tests.odd_comfyui import OddComfyUI, odd_comfyui
from tests.worker_process import Worker, worker_at

EVIL = "".join(
    f"a{mark}forged" for mark in ("\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029", "\0")
)
EVIL += "\x1b[1A\x1b[31mforged\x9b31m\u202eforged"
HALF = EVIL + "\ud800"  # of a surrogate pair
OWN = {"accessId": "a", "accessSecret": "b", "bucketName": "clips", "endpointUrl": "http://127.0.0.1:9"}
HOME = "/runpod-volume/private"


def graph(text: str, **changes: Any) -> dict[str, Any]:
    save = {
        "class_type": "SaveImage",
        "inputs": {"images": ["1", 0], "filename_prefix": text},
        "_meta": {"title": text},
    }
    load = {"class_type": "LoadImage", "inputs": {"image": f"{text}.png"}, "_meta": {"title": text}}
    return {"workflow": {"1": load, "2": save, **changes}, "image": gradient()}


def inputs(text: str) -> Iterator[Any]:
    """The text in every place of a job."""
    yield text
    yield {text: text}
    fields = ("prompt", "negative_prompt", "image", "image_url", "seed", "preset", "delivery", "output", "loras", "fit")
    yield from (small_job(**{name: text}) for name in fields)
    yield small_job(image=f"http://127.0.0.1:9/{text}")
    yield small_job(image=f"http://{text}/")
    yield small_job(image=f"data:image/png;base64,{text}")
    yield small_job(loras=[{"name": f"{text}.safetensors"}])
    yield small_job(loras=[{"name": text, text: text}])
    yield graph(text)
    yield {**graph(text), "images": [{"name": f"{text}.png", "image": gradient()}]}
    yield {**graph(text), "images": [{"name": text, "image": text}]}
    yield {"workflow": {text: {"class_type": text, "inputs": {text: text}}}}
    yield graph(text, **{text: {"class_type": "PreviewImage", "inputs": {text: [text, 0]}}})
    yield graph(text, **{text: {"class_type": "PreviewImage", "inputs": {text: ["1", 99]}}})
    yield graph(text, **{text: {"class_type": "SaveVideo", "inputs": {"codec": text}}})
    yield graph(text, **{text: {"class_type": "LoadImage", "inputs": {"image": f"/{text}"}}})


class Talkative(OddComfyUI):
    """A ComfyUI whose nodes put the text wherever a node can."""

    def answer(self, path: str, query: Any, body: bytes) -> Any:
        prompt = json.loads(body or b"{}") if path == "/prompt" else {}
        wanted = (prompt.get("prompt") or {}).get("1", {}).get("inputs", {}).get("way")
        text = f"{HOME}/models/x.py {HALF}"
        if wanted == "refuse":
            fault = {"type": HALF, "message": text, "details": text, "extra_info": {"input_name": HALF, HALF: HALF}}
            return {"error": fault, "node_errors": {HALF: {"errors": [fault], "class_type": HALF}}}
        if wanted == "fail":
            fault = {"node_id": HALF, "node_type": HALF, "exception_type": HALF, "exception_message": text}
            failed = ["execution_error", {**fault, "traceback": [text, f'  File "{HOME}/a.py", line 1, in b\n {HALF}']}]
            self.status = {"status_str": "error", "messages": [failed]}
        if wanted == "show":
            entry = {"filename": f"{HALF}.png", "subfolder": HALF, "type": HALF}
            self.files = {f"{HALF}.png": base64.b64decode(gradient())}
            self.outputs = {HALF: {"text": [HALF], "images": [entry, {**entry, "type": "output"}], HALF: [HALF]}}
        return super().answer(path, query, body)


def check_log(worker: Worker) -> None:
    log = worker.log
    assert [line for line in log.splitlines() if line.startswith("forged")] == []
    assert re.findall("[\0\x1b\x85\u2028\u2029\u202e]", log) == []
    assert "Traceback" not in log


def test_a_callers_text_makes_no_line(tmp_path: Path) -> None:
    with preview.start(scenario=preview.Scenario(step_seconds=0)) as engine:
        settings: dict[str, Any] = {"COMFYUI_DIR": str(engine.home), "LOG_LEVEL": "DEBUG", "WORKER_CONCURRENCY": "4"}
        with worker_at(engine.url, tmp_path / "log", **settings) as worker:
            jobs = [worker.submit(wanted) for text in (EVIL, HALF) for wanted in inputs(text)]
            jobs += [worker.submit(small_job(), s3Config={**OWN, name: EVIL}) for name in OWN]
            jobs.append(worker.submit(small_job(), s3Config={**OWN, EVIL: EVIL, "endpointUrl": f"http://{EVIL}/"}))
            reports = [worker.finish(job_id) for job_id in jobs]
            check_log(worker)
    assert {report["output"]["code"] for report in reports if report["status"] == "FAILED"} >= {
        "invalid_input",
        "workflow_rejected",
        "image_rejected",
    }
    assert not any(report["output"].get("code") == "internal" for report in reports)
    assert str(engine.home) not in json.dumps(reports)


@pytest.mark.parametrize(
    ("way", "ends"), [("refuse", "workflow_rejected"), ("fail", "execution_failed"), ("show", "COMPLETED")]
)
def test_nor_does_a_nodes_and_the_answer_names_no_place_on_the_disk(tmp_path: Path, way: str, ends: str) -> None:
    wanted = {"workflow": {"1": {"class_type": "LoadImage", "inputs": {"image": "a.png", "way": way}}}}
    with odd_comfyui(Talkative()) as comfyui, worker_at(comfyui.url, tmp_path / "log", LOG_LEVEL="DEBUG") as worker:
        report = worker.finish(worker.submit({**wanted, "image": gradient()}))
        check_log(worker)
    assert ends in {report["status"], report["output"].get("code")}, report
    assert HOME not in json.dumps(report)
