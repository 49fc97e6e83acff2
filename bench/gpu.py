"""What a clip costs on this machine: `python -m bench.gpu --comfyui-dir DIR`.

A real ComfyUI runs the worker's own graphs on random weights of the published sizes (or on given ones). The stages of
bench/gpu_stages.py come in the order of worth, and each measurement is in --out as soon as it is taken: a run that is
cut at any minute leaves a table. docs/PERFORMANCE.md says what the figures mean.

Needs no network. With --wheels ComfyUI's Python runs this program too, with what it lacks from there.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PYTORCHS = re.compile("torch|triton|(nvidia|cuda)-.*")
"""PyTorch and what it brings: those that the Python has belong together."""
LIST = "import importlib.metadata as m, json; print(json.dumps([d.metadata['Name'] for d in m.distributions()]))"


def name_of(text: str) -> str:
    """A package's or a wheel file's package's name, as packages are compared."""
    return re.sub(r"[-_.]+", "-", text.partition("-")[0] if text.endswith(".whl") else text).lower()


def unpack(python: Path, wheels: Path, target: Path) -> None:
    """Install the wheels whose packages that Python does not have below `target`."""
    listed = subprocess.run([python, "-c", LIST], check=True, capture_output=True, text=True)
    known = {name_of(name) for name in json.loads(listed.stdout) if name}
    found = {path: name_of(path.name) for path in sorted(wheels.glob("*.whl"))}
    lacking = [str(path) for path, name in found.items() if name not in known and not PYTORCHS.fullmatch(name)]
    if lacking:
        pip = [str(python), "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(target)]
        subprocess.run([*pip, *lacking], check=True)


def run_with_wheels(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """This program again, in ComfyUI's Python with the wheels; returns its exit status."""
    python = options.python or options.comfyui_dir / ".venv/bin/python"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # this ends the other one too
    with tempfile.TemporaryDirectory(prefix="bench-gpu-wheels-", dir=options.folder) as folder:
        unpack(python, options.wheels, Path(folder))
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")])}
        command = [python, "-m", "bench.gpu", *arguments, "--no-wheels"]
        with subprocess.Popen(command, env=environ) as process:
            try:
                return process.wait()
            finally:
                process.terminate()


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--comfyui-dir", type=Path, required=True, help="a ComfyUI; it is not written to")
    parser.add_argument("--python", type=Path, help="ComfyUI's Python; default: .venv/bin/python in its folder")
    parser.add_argument("--comfyui-args", default="", help="for its main.py, as in --comfyui-args=--cpu")
    parser.add_argument("--wheels", type=Path, help="a folder of wheels for what that Python lacks")
    parser.add_argument("--no-wheels", dest="wheels", action="store_const", const=None, help=argparse.SUPPRESS)
    parser.add_argument("--models", type=Path, help="a models folder that is there already; default: random weights")
    parser.add_argument("--tiny", action="store_true", help="tiny weights and clips: a trial of this program on a CPU")
    parser.add_argument("--folder", type=Path, help="where weights go, and stay; default: a temporary one")
    parser.add_argument("--stages", help="only these, comma-separated; default: all")
    parser.add_argument("--frames", type=int, help="default: 121, with --tiny 5")
    parser.add_argument("--rounds", type=int, default=1, help="warm jobs of each measurement; shown is their median")
    parser.add_argument("--peak", type=float, help="TFLOP/s of 16-bit matrices; default: the card's, where it is known")
    parser.add_argument("--out", type=Path, default=Path("gpu"), help="OUT.json and OUT.md; default: %(default)s")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds: must be 1 or more")
    return options


@contextmanager
def folder_for(options: argparse.Namespace) -> Iterator[Path]:
    """The folder for weights and ComfyUI's files."""
    if options.folder:
        yield options.folder
    else:
        with tempfile.TemporaryDirectory(prefix="bench-gpu-") as name:
            yield Path(name)


def main() -> None:
    """Measure, and print the table."""
    options = read_options()
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
    if options.wheels:
        sys.exit(run_with_wheels(options, sys.argv[1:]))
    from bench import gpu_stages  # needs packages that --wheels may have brought

    with folder_for(options) as folder:
        sys.exit(gpu_stages.run(options, folder))


if __name__ == "__main__":
    main()
