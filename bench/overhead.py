"""What a client adds to ComfyUI's own execution time, and what its reply weighs: `python -m bench.overhead`.

Three clients run the same graph in turns on one engine: the worker, one that polls history every 2 seconds, and one
that waits on the websocket and then fetches from /view. Overhead is the job's wall time less ComfyUI's own, from
execution_start to execution_success in its history. The engine is the preview engine, or with --comfyui-dir a real
ComfyUI on tiny weights.
"""

import argparse
import base64
import functools
import io
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from PIL import Image

from bench import peers, pictures, real_comfyui, weights
from bench.peers import NAME
from worker import config, graph, job
from worker.input import request

LIMIT_MB = 20.0  # of /runsync
PART = (200, 0, 440, 427)  # of the photograph: as a PNG of 720x1280 it has 0.4 MB, as a clip's frames have

Client = Callable[[str, dict[str, Any]], tuple[str, dict[str, Any]]]


@dataclass(frozen=True)
class Clip:
    """What is asked for: the fields of a job without its picture."""

    name: str
    fields: Mapping[str, Any]
    size: tuple[int, int] = pictures.SIZE

    def job_input(self, number: int) -> dict[str, Any]:
        """The input of job `number`, of which ComfyUI's cache has nothing."""
        picture = photograph(self.size, number)
        if "workflow" in self.fields:
            return {**self.fields, "images": [{"name": NAME, "image": picture}]}
        return {**self.fields, "image": picture, "seed": number}

    def peers_input(self, number: int) -> dict[str, Any]:
        """The same as a graph of the caller's own: of the worker's graph what it would fill."""
        job_input = self.job_input(number)
        if "workflow" in job_input:
            return job_input
        wanted = request.parse(job_input, config.read({}))
        filled = graph.fill(wanted, wanted.form(1, 1), image_name=NAME, prefix="clip")
        return {"workflow": filled.nodes, "images": [{"name": NAME, "image": job_input["image"]}]}


@dataclass(frozen=True)
class Figure:
    """What one job cost a client."""

    overhead: float
    """seconds beyond ComfyUI's own"""
    reply: float
    """MB"""
    cpu: float
    """seconds of this process: the child that decodes pictures is not counted"""
    phases: Mapping[str, float] = field(default_factory=dict)
    """the parts of the overhead in seconds; the worker's own"""


def clips() -> Iterator[Clip]:
    """What is measured: callers' own graphs of a whole clip's size, and the worker's graph."""
    yield Clip("video, 25 frames of 720x1280", {"workflow": graph_of(25, video=True)})
    yield Clip("16 PNG frames of 720x1280", {"workflow": graph_of(16, video=False)})
    yield Clip("25 PNG frames of 720x1280", {"workflow": graph_of(25, video=False)})
    small = {"width": 256, "height": 256, "num_frames": 5, "steps": 2, "output": "video", "prompt": "it moves"}
    yield Clip("the worker's graph, 5 frames of 256x256", {**small, "preset": "fast"}, (256, 256))


def graph_of(frames: int, *, video: bool) -> dict[str, Any]:
    """A caller's graph that needs no model: the picture `frames` times over, saved."""
    nodes: dict[str, Any] = {
        "1": {"class_type": "LoadImage", "inputs": {"image": NAME}},
        "2": {"class_type": "RepeatImageBatch", "inputs": {"image": ["1", 0], "amount": frames}},
    }
    if not video:
        return {**nodes, "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "frame"}}}
    saver = {"video": ["3", 0], "filename_prefix": "clip", "format": "mp4", "codec": "h264"}
    return {
        **nodes,
        "3": {"class_type": "CreateVideo", "inputs": {"images": ["2", 0], "fps": 24.0}},
        "4": {"class_type": "SaveVideo", "inputs": saver},
    }


def worker(url: str, job_input: dict[str, Any], home: str = "") -> tuple[str, dict[str, Any]]:
    """The worker's own job; returns prompt id and answer. `home`: ComfyUI's folder, which it has in its container."""
    settings = config.read({"COMFYUI_URL": url, "COMFYUI_DIR": home})
    answer = job.run({"id": "sync-bench", "input": job_input}, settings, lambda _: None, threading.Event())
    return answer["prompt_id"], answer


def own_time(url: str, prompt_id: str) -> float:
    """ComfyUI's own execution time in seconds, from its history."""
    entry = requests.get(f"{url}/history/{prompt_id}", timeout=30).json()[prompt_id]
    stamps = {name: data["timestamp"] for name, data in entry["status"]["messages"]}
    return float(stamps["execution_success"] - stamps["execution_start"]) / 1000


def measure(client: Client, url: str, job_input: dict[str, Any]) -> Figure:
    """Run one job."""
    started, worked = time.monotonic(), time.process_time()
    prompt_id, answer = client(url, job_input)
    elapsed, cpu = time.monotonic() - started, time.process_time() - worked
    own = own_time(url, prompt_id)
    phases = {name: spent for name, spent in answer.get("timings", {}).items() if name != "total"}
    if phases:
        phases["execution"] -= own
        phases["the rest"] = elapsed - own - sum(phases.values())
    return Figure(elapsed - own, len(json.dumps({"output": answer})) / 1e6, cpu, phases)


@functools.cache
def photograph(size: tuple[int, int], number: int) -> str:
    """The photograph in that size as a PNG, base64, with a corner that is `number`'s own."""
    picture = Image.open(pictures.PHOTOGRAPH).convert("RGB").resize(size, box=PART)
    picture.putpixel((0, 0), (number % 256, number // 256 % 256, 0))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=4, icc_profile=None)  # SaveImage's level; sRGB, as most images are
    return base64.b64encode(buffer.getvalue()).decode()


def run_in_turns(url: str, home: str, clip: Clip, rounds: int) -> dict[str, list[Figure]]:
    """Each client's figures by round; the worker is the first."""
    own = functools.partial(worker, home=home)
    clients: dict[str, Client] = {"worker": own, "2 s poller": peers.poll, "websocket, then /view": peers.listen}
    figures: dict[str, list[Figure]] = {name: [] for name in clients}
    for number in range(rounds + 1):
        for place, (name, client) in enumerate(clients.items()):
            make = clip.peers_input if place else clip.job_input
            figure = measure(client, url, make(len(clients) * number + place))
            if number:  # the first round warms up
                figures[name].append(figure)
    return figures


def middle(values: Iterator[float]) -> float:
    """Their median."""
    return statistics.median(list(values))


def report(figures: Mapping[str, Sequence[Figure]]) -> None:
    """Print each client's figures beside the worker's, and the parts of the worker's own."""
    base = middle(figure.overhead for figure in figures["worker"])
    for name, row in figures.items():
        overhead, size = middle(figure.overhead for figure in row), middle(figure.reply for figure in row)
        low, high = min(figure.overhead for figure in row), max(figure.overhead for figure in row)
        fits = "" if size <= LIMIT_MB else f"  lost: over {LIMIT_MB:.0f} MB"
        print(
            f"  {name:<22} overhead {1000 * overhead:7.1f} ms ({1000 * low:.1f} to {1000 * high:.1f})"
            f"  {overhead / base:6.2f}x  CPU {1000 * middle(figure.cpu for figure in row):5.1f} ms"
            f"  reply {size:6.2f} MB{fits}"
        )
    names = figures["worker"][0].phases
    parts = {name: middle(figure.phases[name] for figure in figures["worker"]) for name in names}
    print("    the worker's: " + ", ".join(f"{name} {1000 * spent:.1f}" for name, spent in parts.items()))


@contextmanager
def preview_engine() -> Iterator[tuple[str, str]]:
    """The preview engine as a process of its own, as ComfyUI is: its URL and its folder."""
    with tempfile.TemporaryDirectory(prefix="bench-overhead-") as home:
        command = [sys.executable, "-m", "local.engine", "--port", "0", "--home", home]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            try:
                yield process.stdout.readline().split()[-1], home  # it tells its URL when it is ready
            finally:
                process.terminate()


@contextmanager
def real_engine(options: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """A real ComfyUI on tiny weights: its URL and its folder."""
    with tempfile.TemporaryDirectory(prefix="bench-overhead-") as name:
        base, models = Path(name, "base"), Path(name, "weights")
        weights.write_all(models, "tiny", ["fast"])
        real_comfyui.make_base(base, models, tiny=True)
        with real_comfyui.run(real_comfyui.read_installation(options), base) as running:
            yield running.url, str(base)


def engine(options: argparse.Namespace) -> Any:
    """The context of the engine that the options name."""
    return real_engine(options) if options.comfyui_dir else preview_engine()


def main() -> None:
    """Print the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    real_comfyui.add_arguments(parser, required=False)
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    real_comfyui.leave_on_sigterm()
    with engine(options) as (url, home):
        shown = "a real ComfyUI" if options.comfyui_dir else "the preview engine, a stand-in"
        print(f"engine: {shown}; {options.rounds} rounds, medians")
        for clip in clips():
            print(f"{clip.name}:", flush=True)
            report(run_in_turns(url, home, clip, options.rounds))


if __name__ == "__main__":
    main()
