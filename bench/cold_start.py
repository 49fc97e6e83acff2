"""From the container's start to taking jobs: `python -m bench.cold_start`.

builder.sh with handler.py, beside the order that they replace: one cp after another, git and pip, ComfyUI, then the
handler. Both read the same synthetic models from the same slow volume (bench/slow_volume.py), which only root can
mount, with libfuse and /dev/fuse; without them nothing is measured. The clock stops when the worker takes a job that
waits in a local endpoint's queue. No start can be faster than the volume's whole rate or than ComfyUI's own boot,
whichever takes longer: that is the bound.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ctypes.util import find_library
from pathlib import Path

import requests

from local import endpoint as platform
from worker.catalogue import load

ROOT = Path(__file__).parents[1]
LIMIT = 600  # seconds of one start
# ComfyUI's main.py: the preview engine after a pause, or the real one with folders of its own.
PLAYED = """
import sys, time
time.sleep({boot})
sys.path.insert(0, {root!r})
from local import engine
with engine.start(int(sys.argv[sys.argv.index("--port") + 1])) as running:
    running.wait()
"""
REAL = """
import os, sys
os.execv({python!r}, [{python!r}, "-u", {main!r}, *sys.argv[1:], "--base-directory", os.getcwd()])
"""
REFERENCE = r"""
set -e
unset MODELS_STATE COMFYUI_LOG  # builder.sh's: the handler waits for what they say
for model in "$VOLUME_DIR"/models/*/*; do
  folder=$MODELS_DIR/$(basename "$(dirname "$model")")
  mkdir -p "$folder"
  cp "$model" "$folder/"
done
sleep "$PIP"
(cd "$COMFYUI_DIR" && exec "$COMFYUI_PYTHON" -u main.py --listen 127.0.0.1 --port "$COMFYUI_PORT" $COMFYUI_ARGS) &
until curl --silent --fail --output /dev/null "$COMFYUI_URL/system_stats"; do sleep 0.5; done
exec "$@"
"""


def write_tree(folder: Path, options: argparse.Namespace) -> None:
    """A ComfyUI folder whose main.py is the engine or the real ComfyUI."""
    for name in ("input", "output", "temp", "user", "custom_nodes"):
        (folder / name).mkdir(parents=True)
    main = PLAYED.format(boot=options.boot, root=str(ROOT))
    if options.comfyui_dir:
        main = REAL.format(python=str(options.python), main=str(options.comfyui_dir.resolve() / "main.py"))
    (folder / "main.py").write_text(main)


@contextmanager
def slow_volume(folder: Path, options: argparse.Namespace) -> Iterator[None]:
    """The volume, freshly mounted: nothing of it is in memory."""
    folder.mkdir()
    rates = ["--gigabytes", options.gigabytes, "--stream-rate", options.stream_rate, "--total-rate", options.total_rate]
    command = [sys.executable, "-m", "bench.slow_volume", str(folder), *map(str, rates)]
    # libfuse says something on every mount.
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        while not folder.is_mount():
            if process.poll() is not None:
                assert process.stderr
                sys.exit(f"bench.cold_start: the slow volume cannot be mounted:\n{process.stderr.read()}")
            time.sleep(0.05)
        try:
            yield
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)  # noqa: S607 (wherever it is)


def build_environ(folder: Path, endpoint: platform.Endpoint, options: argparse.Namespace) -> dict[str, str]:
    """What a container has, with all that it writes below `folder`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RUNPOD_")}
    return {
        **inherited,
        **endpoint.worker_environ(),
        "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",  # they end a worker on a machine without internet or GPU
        "RUNPOD_SKIP_GPU_CHECK": "true",
        "WORKER_PYTHON": sys.executable,
        "COMFYUI_DIR": str(folder / "comfyui"),
        "COMFYUI_PYTHON": sys.executable,
        "COMFYUI_PORT": str(options.port),
        "COMFYUI_URL": f"http://127.0.0.1:{options.port}",
        "COMFYUI_ARGS": options.comfyui_args,
        "COMFYUI_LOG": str(folder / "comfyui.log"),
        "MODELS_STATE": str(folder / "models.state"),
        "MODELS_DIR": str(folder / "models"),
        "MODELS_MODE": "copy",
        "VOLUME_DIR": str(folder / "volume"),
        "PIP": str(options.pip),
    }


def start(command: list[str], options: argparse.Namespace) -> tuple[float, str]:
    """Run a container's command until its worker takes a job; returns seconds and its log."""
    with tempfile.TemporaryDirectory(prefix="cold-start-", dir=options.folder) as name, platform.start() as endpoint:
        folder = Path(name)
        write_tree(folder / "comfyui", options)
        with slow_volume(folder / "volume", options), (folder / "log").open("wb") as log:
            environ = build_environ(folder, endpoint, options)
            job = requests.post(f"{endpoint.url}/run", json={"input": {}}, timeout=10).json()["id"]
            began = time.monotonic()
            process = subprocess.Popen(
                command, cwd=ROOT, env=environ, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
            try:
                wait_until_taken(f"{endpoint.url}/status/{job}", process, folder / "log")
                spent = time.monotonic() - began
            finally:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        check_copies(folder / "models", options.gigabytes)
        text = (folder / "log").read_text()
    os.sync()
    return spent, text


def wait_until_taken(status_url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Return when the job has left the queue."""
    end = time.monotonic() + LIMIT
    while requests.get(status_url, timeout=10).json()["status"] == "IN_QUEUE":
        if process.poll() is not None or time.monotonic() > end:
            sys.exit(f"bench.cold_start: no job was taken; the log's end:\n{log.read_text()[-3000:]}")
        time.sleep(0.02)


def check_copies(models: Path, gigabytes: float) -> None:
    """A start that left out a part of the models does not count."""
    sizes = [path.stat().st_size for path in models.rglob("*.safetensors")]
    if len(sizes) != len(load(["default"], {})) or sum(sizes) < gigabytes * 1e9 - 1000:
        sys.exit(f"bench.cold_start: {len(sizes)} models with {sum(sizes)} bytes were brought")


def boot_alone(options: argparse.Namespace) -> float:
    """Seconds until ComfyUI answers with nothing beside it."""
    with tempfile.TemporaryDirectory(prefix="cold-start-", dir=options.folder) as name:
        folder = Path(name, "comfyui")
        write_tree(folder, options)
        began = time.monotonic()
        command = [sys.executable, "main.py", "--listen", "127.0.0.1", "--port", str(options.port)]
        command += ["--disable-metadata", "--disable-api-nodes", *options.comfyui_args.split()]
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while not answers(options.port):
                if process.poll() is not None or time.monotonic() - began > LIMIT:
                    sys.exit("bench.cold_start: ComfyUI does not start")
                time.sleep(0.02)
            spent = time.monotonic() - began
            process.kill()
    return spent


def answers(port: int) -> bool:
    """Whether a server listens on the port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def measure(options: argparse.Namespace) -> tuple[float, float, float, float, str]:
    """Seconds of builder.sh and of the order that it replaces, of reading the volume and of ComfyUI's boot; the log."""
    handler = [sys.executable, "-u", str(ROOT / "handler.py")]
    boot, reading = boot_alone(options), options.gigabytes * 1000 / options.total_rate
    ours, log = start([str(ROOT / "builder.sh"), *handler], options)
    reference, _ = start(["bash", "-c", REFERENCE, "reference", *handler], options)
    return ours, reference, reading, boot, log


def compare(options: argparse.Namespace) -> None:
    """Run both orders and print their times beside the bound."""
    ours, reference, reading, boot, log = measure(options)
    bound = max(boot, reading)
    print(f"  the order replaced  {reference:6.1f} s")
    print(f"  builder.sh          {ours:6.1f} s  {ours / reference:.2f} of it")
    print(f"  the bound           {bound:6.1f} s  the volume's {reading:.1f} s, ComfyUI's own {boot:.1f} s;", end="")
    print(f" builder.sh is {100 * (ours / bound - 1):.0f} % above it")
    if options.log:
        print(log)


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line, or these in its place."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--gigabytes", type=float, default=2, help="size of the models, in the real ones' proportions")
    parser.add_argument("--stream-rate", type=float, default=50, help="MB/s of one open file on the volume")
    parser.add_argument("--total-rate", type=float, default=200, help="MB/s of all files together")
    parser.add_argument("--boot", type=float, default=10, help="seconds that the played ComfyUI takes")
    parser.add_argument("--pip", type=float, default=4, help="seconds that stand for git and pip")
    parser.add_argument("--comfyui-dir", type=Path, help="a real ComfyUI instead; it is not written to")
    parser.add_argument("--python", type=Path, help="its Python; default: its .venv/bin/python")
    parser.add_argument("--comfyui-args", default="", help="as in COMFYUI_ARGS, for example --comfyui-args=--cpu")
    parser.add_argument("--port", type=int, default=8230)
    parser.add_argument("--folder", type=Path, help="where the models are copied to; default: the temporary folder")
    parser.add_argument("--log", action="store_true", help="print the log of builder.sh and handler.py")
    options = parser.parse_args(arguments)
    if options.comfyui_dir and not options.python:
        options.python = options.comfyui_dir / ".venv/bin/python"
    return options


def find_lack() -> str | None:
    """What this machine lacks to mount the slow volume."""
    if not Path("/dev/fuse").exists():
        return "there is no /dev/fuse"
    if os.geteuid():
        return "only root mounts it"
    return None if find_library("fuse3") or find_library("fuse") else "libfuse is not installed"


def main() -> None:
    """Print the comparison, or why there is none."""
    options = read_options()
    if lack := find_lack():
        print(f"cold start: skipped, as the slow volume cannot be mounted: {lack}")
        return
    played = f"the preview engine after {options.boot:g} s of sleep"
    print(
        f"cold start: {options.gigabytes:g} GB of models at {options.stream_rate:g} MB/s a stream, "
        f"{options.total_rate:g} MB/s in all; ComfyUI: {options.comfyui_dir or played}; "
        f"git and pip: {options.pip:g} s of sleep",
        flush=True,
    )
    compare(options)


if __name__ == "__main__":
    main()
