"""A real ComfyUI with folders of its own: `python -m bench.real_comfyui --comfyui-dir DIR` runs one on tiny weights.

For the measurements: its process, and the memory that it takes meanwhile.
"""

import argparse
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import requests

from bench import weights
from worker.catalogue import MODEL_SETS

ROOT = Path(__file__).parents[1]
BOOT_LIMIT = 300  # seconds
EVENTS, PROFILE = "events.jsonl", "profile.json"
NONE: Mapping[str, str] = {}
PAUSE = 0.1  # seconds between looks at the memory
GPU_QUERY = ("nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "-i", "0")


@dataclass(frozen=True)
class Installation:
    """A ComfyUI that is there already; nothing is written into it."""

    folder: Path
    python: Path
    args: tuple[str, ...]
    """for its main.py, beside those that every run has"""


@dataclass(frozen=True)
class Running:
    """A ComfyUI that answers."""

    url: str
    pid: int
    base: Path
    """holds its input, output and temp folders"""
    boot_seconds: float

    @property
    def events(self) -> Path:
        """Where bench/probe writes what ComfyUI says of its prompts."""
        return self.base / EVENTS

    @property
    def profile(self) -> Path:
        """Where it writes a profile."""
        return self.base / PROFILE


def make_base(base: Path, models: Path, tiny: bool) -> None:
    """The folder that ComfyUI reads and writes in place of its own: models and nodes are links."""
    for name in ("input", "output", "temp", "user", "custom_nodes"):
        (base / name).mkdir(parents=True)
    (base / "models").symlink_to(models.resolve())
    nodes = ["comfyui_nodes", "bench/probe", *(["bench/tiny_hunyuan"] if tiny else [])]
    for folder in nodes:
        (base / "custom_nodes" / Path(folder).name).symlink_to(ROOT / folder)


@contextmanager
def run(
    installation: Installation, base: Path, args: Sequence[str] = (), port: int = 0, variables: Mapping[str, str] = NONE
) -> Iterator[Running]:
    """ComfyUI until the context is left, on a free port by default; raises RuntimeError if it does not start."""
    port = port or free_port()
    command = [str(installation.python), "-u", str(installation.folder.resolve() / "main.py")]
    command += ["--listen", "127.0.0.1", "--port", str(port), "--base-directory", str(base.resolve())]
    command += ["--database-url", "sqlite:///:memory:", "--disable-metadata", "--disable-api-nodes"]
    command += [*installation.args, *args]
    log = base / "comfyui.log"
    environ = {
        **os.environ,
        "PYTHONDONTWRITEBYTECODE": "1",
        "BENCH_EVENTS": str(base.resolve() / EVENTS),
        "BENCH_PROFILE": str(base.resolve() / PROFILE),
        "BENCH_PARENT": str(os.getpid()),
        **variables,
        "TORCHINDUCTOR_CACHE_DIR": str(base.resolve() / "compiled"),
    }
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environ, start_new_session=True
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(url, process, log)
        yield Running(url, process.pid, base, time.monotonic() - began)
    finally:
        with suppress(ProcessLookupError):  # it may have ended by itself
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + BOOT_LIMIT
    while not _answers(url):
        if process.poll() is not None or time.monotonic() > end:
            lines = log.read_text(errors="replace").splitlines()[-15:]
            raise RuntimeError("ComfyUI does not start; its last lines:\n" + "\n".join(lines))
        time.sleep(PAUSE)


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/system_stats", timeout=5).ok
    except requests.RequestException:
        return False


class MemoryLog:
    """Samples of the first GPU's memory in use, or without a GPU of the process's; a context manager."""

    def __init__(self, pid: int, has_gpu: bool) -> None:
        self.samples: list[tuple[float, float]] = []
        """time.time() and MB"""
        self._pid, self._has_gpu = pid, has_gpu
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read_gpu if has_gpu else self._read_process, daemon=True)

    def __enter__(self) -> "MemoryLog":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(5)

    def _read_gpu(self) -> None:
        command = [*GPU_QUERY, f"--loop-ms={int(1000 * PAUSE)}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            for line in process.stdout:
                self.samples.append((time.time(), float(line) * 2**20 / 1e6))
                if self._ended.is_set():
                    break
            process.terminate()

    def _read_process(self) -> None:
        while not self._ended.wait(PAUSE):
            try:
                status = Path(f"/proc/{self._pid}/status").read_text()
            except OSError:
                return
            kilobytes = next((line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")), "0")
            self.samples.append((time.time(), int(kilobytes) * 1024 / 1e6))


def describe_gpu() -> dict[str, str]:
    """The first GPU's name, memory and driver; empty without one."""
    if not shutil.which("nvidia-smi"):
        return {}
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader", "-i", "0"]
    done = subprocess.run(query, capture_output=True, text=True, check=False)
    if done.returncode:
        return {}
    name, memory, driver = (part.strip() for part in done.stdout.splitlines()[0].split(","))
    return {"gpu": name, "gpu_memory": memory, "driver": driver}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def add_arguments(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """The options that say which ComfyUI it is."""
    parser.add_argument("--comfyui-dir", type=Path, required=required, help="a ComfyUI; it is not written to")
    default = ".venv/bin/python in its folder"
    parser.add_argument("--python", "--comfyui-python", type=Path, help=f"ComfyUI's Python; default: {default}")
    parser.add_argument("--comfyui-args", default="", help="for its main.py, as in --comfyui-args=--cpu")


def read_installation(options: argparse.Namespace) -> Installation:
    """What those options say."""
    python = options.python or options.comfyui_dir / ".venv/bin/python"
    return Installation(options.comfyui_dir, python.absolute(), tuple(shlex.split(options.comfyui_args)))


def leave_on_sigterm() -> None:
    """Have SIGTERM end this program as Ctrl-C does: ComfyUI ends and its folders are removed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def fill_volume(volume: Path, installation: Installation) -> Path:
    """Write a LoRA and a checkpoint as a network volume has them; returns the file that shows them to ComfyUI."""
    weights.write_lora(volume / "models", "tiny")
    weights.write_checkpoint(volume)
    paths = volume / "extra_model_paths.yaml"
    places = {"VOLUME_DIR": volume, "MODEL_PATHS": paths, "WORKER_PYTHON": sys.executable}
    comfyui = dict.fromkeys(("COMFYUI_DIR", "COMFYUI_TREE"), installation.folder.resolve())
    comfyui |= {"COMFYUI_PYTHON": installation.python}
    environ = {**os.environ, **{name: str(value) for name, value in (places | comfyui).items()}}
    subprocess.run(["/bin/bash", "-c", ". ./builder.sh && name_model_paths"], cwd=ROOT, env=environ, check=True)
    return paths


def main() -> None:
    """Run ComfyUI until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    add_arguments(parser)
    parser.add_argument("--port", type=int, default=8188)
    options = parser.parse_args()
    leave_on_sigterm()
    with tempfile.TemporaryDirectory(prefix="real-comfyui-") as name:
        weights.write_all(Path(name, "weights"), "tiny", MODEL_SETS)
        make_base(base := Path(name, "base"), Path(name, "weights"), tiny=True)
        installation = read_installation(options)
        paths = fill_volume(Path(name, "volume"), installation)
        with run(installation, base, ["--extra-model-paths-config", str(paths)], port=options.port) as running:
            print(f"pytest tests/real --comfyui {running.url} --comfyui-dir={base}", flush=True)
            with suppress(KeyboardInterrupt):
                signal.pause()


if __name__ == "__main__":
    main()
