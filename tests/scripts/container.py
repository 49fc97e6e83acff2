"""A tree like the container's, in which the real builder.sh runs."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import requests

from tests.model_files import MODELS, make_model

ROOT = Path(__file__).parents[2]
BUILDER = str(ROOT / "builder.sh")
# A ComfyUI that answers as soon as it is up, and dies as often as the test wants.
COMFYUI = """
import http.server, json, os, pathlib, sys
print("arguments:", *sys.argv[1:])
deaths = pathlib.Path("deaths")
if deaths.exists() and int(deaths.read_text()) > 0:
    deaths.write_text(str(int(deaths.read_text()) - 1))
    sys.exit("CUDA error: no kernel image")
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"pid": os.getpid()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Answer).serve_forever()
"""
# A handler that waits for the models, says what it got, and ends with status 0 when asked to, like the SDK.
HANDLER = """
import os, pathlib, signal, sys, time
state = pathlib.Path(os.environ["MODELS_STATE"])
while not state.read_text():
    time.sleep(0.02)
if state.read_text() != "ready\\n":
    sys.exit("unfit: " + state.read_text())
signal.signal(signal.SIGTERM, lambda *_: (print("handler: SIGTERM", flush=True), sys.exit(0)))
models = sorted(path.name for path in pathlib.Path(os.environ["MODELS_DIR"]).rglob("*.safetensors"))
# In one piece: others write to the same file.
sys.stdout.write(f"handler: {os.getpid()} {len(models)} {os.environ['COMFYUI_URL']}\\n")
while True:
    time.sleep(0.1)
"""


def wait_for(what: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(requests.ConnectionError):
            if what():
                return
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


FOLDER_PATHS = """
models_dir = "/comfyui/models"
folder_names_and_paths = {
    "loras": (["/comfyui/models/loras"], {".safetensors"}),
    "diffusion_models": (["/comfyui/models/unet", "/comfyui/models/diffusion_models"], {".safetensors"}),
    "custom_nodes": (["/comfyui/custom_nodes"], set()),
}
"""


class Container:
    """A tree like the container's, and builder.sh running in it."""

    def __init__(self, folder: Path) -> None:
        self.volume, self.comfyui, self.log = folder / "volume", folder / "comfyui", folder / "comfyui.log"
        self.model_paths = folder / "extra_model_paths.yaml"
        self.comfyui.mkdir()
        (self.comfyui / "main.py").write_text(COMFYUI)
        (folder / "handler.py").write_text(HANDLER)
        (self.comfyui / "folder_paths.py").write_text(FOLDER_PATHS)
        (self.comfyui / "comfyui_version.py").write_text('__version__ = "0.8.0"\n')
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.environ = {
            **os.environ,
            "WORKER_PYTHON": sys.executable,
            "COMFYUI_PYTHON": sys.executable,
            "COMFYUI_DIR": str(self.comfyui),
            "COMFYUI_PORT": str(port),
            "COMFYUI_LOG": str(self.log),
            "COMFYUI_PID": str(folder / "comfyui.pid"),
            "COMFYUI_STATE": str(folder / "comfyui.state"),
            "BOOT_FILE": str(folder / "worker.boot"),
            "MODELS_STATE": str(folder / "models.state"),
            "MODEL_PATHS": str(self.model_paths),
            "MODELS_DIR": str(self.comfyui / "models"),
            "VOLUME_DIR": str(self.volume),
        }
        self.output, self.handler = folder / "output", folder / "handler.py"
        self.process: subprocess.Popen[bytes] | None = None

    def fill_volume(self) -> None:
        for model in MODELS:
            path = self.volume / "models" / model.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(make_model(model))

    def start(self, *command: str, **environ: str) -> None:
        """Run builder.sh with the command; by default the handler."""
        self.start_by((BUILDER,), *command, **environ)

    def start_by(self, entry: "tuple[str, ...]", *command: str, **environ: str) -> None:
        """Run `entry` with the command; by default the handler."""
        command = command or (sys.executable, "-u", str(self.handler))
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [*entry, *command],
                env={**self.environ, **environ},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def text(self) -> str:
        return self.output.read_text()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait(20)

    def comfyui_pid(self) -> int:
        return int(requests.get(self.url, timeout=5).json()["pid"])

    def says(self, pattern: str) -> Callable[[], object]:
        return lambda: re.search(pattern, self.text, re.MULTILINE)

    def is_gone(self) -> bool:
        """Whether every process of the tree has ended."""
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return True
        return False

    def end(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
