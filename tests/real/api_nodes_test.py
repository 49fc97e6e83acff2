"""An API node on a real ComfyUI whose paid service is this machine: `--comfyui-command "python main.py ..."`."""

import json
import shlex
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import requests

from tests.helpers import gradient
from worker.comfyui import ComfyUI, wait_for_answer
from worker.errors import ExecutionFailed, WorkflowRejected

pytestmark = pytest.mark.timeout(600)
BOOT = 180.0
KEY = "comfyui-key-5up3rs3cr3t"


def graph(seed: int) -> dict[str, Any]:
    """ComfyUI keeps what a seed gave: another one asks the service again."""
    inputs = {"prompt": "a lamp", "seed": seed, "size": "256x256", "n": 1}
    return {
        "1": {"class_type": "OpenAIDalle2", "inputs": inputs},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "lamp"}},
    }


class Service(BaseHTTPRequestHandler):
    """Answers every request of the right key with one image, and remembers who pays."""

    seen: ClassVar[list[tuple[str, str | None]]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.seen.append((self.path, self.headers.get("X-API-KEY")))
        body = json.dumps({"data": [{"b64_json": gradient()}]}).encode()
        self.send_response(200 if self.headers.get("X-API-KEY") == KEY else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def comfyui(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    command = request.config.getoption("--comfyui-command")
    if not command:
        pytest.skip("no --comfyui-command: no API node ran on a real ComfyUI")
    base = tmp_path_factory.mktemp("comfyui")
    for name in ("models", "input", "output", "temp", "user", "custom_nodes"):
        (base / name).mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        words = [word for word in shlex.split(command) if word != "--disable-api-nodes"]
        with ThreadingHTTPServer(("127.0.0.1", 0), Service) as free:
            port = free.server_port
        words += ["--base-directory", str(base), "--port", str(port), "--comfy-api-base"]
        words.append(f"http://127.0.0.1:{service.server_port}")
        with (base / "comfyui.log").open("wb") as log, subprocess.Popen(words, stdout=log, stderr=log) as process:
            try:
                found = SimpleNamespace(url=f"http://127.0.0.1:{port}", home=None, base=base)
                wait_for_answer(ComfyUI(found.url), BOOT, lambda: None)
                yield found
            finally:
                process.kill()
        service.shutdown()


def files_with(text: str, folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


@pytest.mark.parametrize(("seed", "keys"), [(1, (KEY, "")), (2, (None, KEY)), (3, (KEY, "another-key"))], ids=str)
def test_the_key_reaches_the_service_and_nothing_else(comfyui, run, caplog, seed, keys):
    callers, operators = keys
    caplog.set_level(0)
    Service.seen.clear()
    wanted = {"workflow": graph(seed), "comfy_org_api_key": callers}
    answer = run(comfyui, wanted, api_nodes=True, comfy_org_api_key=operators)
    assert [entry["type"] for entry in answer["outputs"]] == ["image"]
    assert Service.seen == [("/proxy/openai/images/generations", KEY)]
    told = [requests.get(comfyui.url + route, timeout=10).text for route in ("/history", "/queue", "/internal/logs")]
    assert KEY not in json.dumps(answer) + caplog.text + "".join(told)
    assert files_with("a lamp", comfyui.base)  # ComfyUI's own record of the request, where the key would be
    assert files_with(KEY, comfyui.base) == []


def test_a_key_that_the_service_refuses_is_in_no_error_and_no_log(comfyui, run, caplog):
    caplog.set_level(0)
    with pytest.raises(ExecutionFailed, match="OpenAIDalle2") as caught:
        run(comfyui, {"workflow": graph(4), "comfy_org_api_key": "wr0ng-key"}, api_nodes=True)
    assert "wr0ng-key" not in json.dumps(caught.value.answer()) + caplog.text
    assert files_with("wr0ng-key", comfyui.base) == []


def test_without_the_operators_word_no_api_node_runs(comfyui, run):
    Service.seen.clear()
    with pytest.raises(WorkflowRejected, match="OpenAIDalle2"):
        run(comfyui, {"workflow": graph(5)}, comfy_org_api_key=KEY)
    assert Service.seen == []
