"""What a client adds to ComfyUI's own execution time, and what its reply weighs: `python -m bench.overhead`.

Three clients run the same graph in turns on one engine: the worker, one that polls history every 2 seconds, and one
that waits on the websocket and then fetches from /view. Overhead is the job's wall time less ComfyUI's own, from
execution_start to execution_success in its history. The engine is the preview engine unless --comfyui names a real one.
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
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import requests
import websocket
from PIL import Image

from worker import config, graph, job
from worker.input import request

POLL = 2.0
LIMIT_MB = 10.0

Client = Callable[[str, dict[str, Any]], tuple[str, dict[str, Any]]]


def worker(url: str, job_input: dict[str, Any], home: str = "") -> tuple[str, dict[str, Any]]:
    """The worker's own job; returns prompt id and answer. `home`: ComfyUI's folder, which it has in its container."""
    settings = config.read({"COMFYUI_URL": url, "COMFYUI_DIR": home})
    answer = job.run({"id": "bench", "input": job_input}, settings, lambda _: None, threading.Event())
    return answer["prompt_id"], answer


def poller(url: str, job_input: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Upload, queue, look into history every 2 seconds, fetch."""
    prompt_id = queue(url, job_input, "poller")
    while True:
        history = requests.get(f"{url}/history/{prompt_id}", timeout=30).json()
        if prompt_id in history:
            return prompt_id, fetch_all(url, history[prompt_id]["outputs"])
        time.sleep(POLL)


def listener(url: str, job_input: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Wait on the websocket for the prompt's last message, then read history and fetch."""
    client_id = uuid.uuid4().hex
    events = websocket.create_connection(f"ws{url.removeprefix('http')}/ws?clientId={client_id}", timeout=60)
    prompt_id = queue(url, job_input, client_id)
    while True:
        message = json.loads(events.recv())
        data = message["data"]
        if message["type"] == "executing" and data["node"] is None and data.get("prompt_id") == prompt_id:
            break
    events.close()
    history = requests.get(f"{url}/history/{prompt_id}", timeout=30).json()
    return prompt_id, fetch_all(url, history[prompt_id]["outputs"])


def queue(url: str, job_input: dict[str, Any], client_id: str) -> str:
    """Upload the picture and queue the default graph, filled as the worker fills it."""
    wanted = request.parse(job_input, config.read({}))
    picture = base64.b64decode(job_input["image"])
    name = f"{uuid.uuid4().hex}.png"
    requests.post(f"{url}/upload/image", files={"image": (name, picture)}, timeout=30).raise_for_status()
    filled = graph.fill(wanted, wanted.form(1, 1), image_name=name, prefix=uuid.uuid4().hex)
    answer = requests.post(f"{url}/prompt", json={"prompt": filled.nodes, "client_id": client_id}, timeout=30)
    return str(answer.json()["prompt_id"])


def fetch_all(url: str, outputs: dict[str, Any]) -> dict[str, Any]:
    """Every file through /view, base64, as it is."""
    files = [file for output in outputs.values() for file in output["images"]]
    data = [requests.get(f"{url}/view", params=file, timeout=60).content for file in files]
    return {"images": [{"data": base64.b64encode(content).decode()} for content in data]}


def own_time(url: str, prompt_id: str) -> float:
    """ComfyUI's own execution time in seconds, from its history."""
    entry = requests.get(f"{url}/history/{prompt_id}", timeout=30).json()[prompt_id]
    stamps = {name: data["timestamp"] for name, data in entry["status"]["messages"]}
    return float(stamps["execution_success"] - stamps["execution_start"]) / 1000


def measure(client: Client, url: str, job_input: dict[str, Any]) -> tuple[float, float]:
    """Seconds of overhead and MB of reply of one job."""
    started = time.monotonic()
    prompt_id, answer = client(url, job_input)
    elapsed = time.monotonic() - started
    return elapsed - own_time(url, prompt_id), len(json.dumps({"output": answer})) / 1e6


def photograph(path: str) -> str:
    """A PNG of the photograph, base64: small enough that reading it does not count."""
    buffer = io.BytesIO()
    Image.open(path).convert("RGB").resize((256, 256)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def run_in_turns(url: str, home: str, job_input: dict[str, Any], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Each client's seconds of overhead and MB of reply, by round; the worker is the first."""
    own = functools.partial(worker, home=home)
    clients: dict[str, Client] = {"worker": own, "2 s poller": poller, "websocket, then /view": listener}
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in clients}
    for number in range(rounds + 1):
        for name, client in clients.items():
            figure = measure(client, url, {**job_input, "seed": number})
            if number:  # the first round warms up
                figures[name].append(figure)
    return figures


def report(figures: dict[str, list[tuple[float, float]]]) -> None:
    """Print each client's figures beside the worker's."""
    base = statistics.median(overhead for overhead, _ in figures["worker"])
    for name, rows in figures.items():
        overheads = sorted(overhead for overhead, _ in rows)
        middle, size = statistics.median(overheads), statistics.median(size for _, size in rows)
        fits = "" if size <= LIMIT_MB else f"  lost: over {LIMIT_MB:.0f} MB"
        print(
            f"  {name:<22} overhead {1000 * middle:7.1f} ms"
            f" ({1000 * overheads[0]:.1f} to {1000 * overheads[-1]:.1f})"
            f"  {middle / base:6.1f}x  reply {size:6.2f} MB{fits}"
        )


@contextmanager
def preview_engine(home: str) -> Iterator[str]:
    """The preview engine as a process of its own, as ComfyUI is: its URL."""
    command = [sys.executable, "-m", "local.engine", "--port", "0", "--home", home]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().split()[-1]  # it tells its URL when it is ready
        finally:
            process.terminate()


def clips() -> dict[str, tuple[dict[str, Any], int]]:
    """What is asked for, by a name, and of how many rounds one is enough."""
    base = {"image": photograph("examples/rocket.jpg"), "prompt": "it moves", "num_frames": 16}
    return {
        "a video of 16 frames, 256x256": ({**base, "width": 256, "height": 256, "steps": 4, "output": "video"}, 1),
        "16 frames of 720x1280 and the video": (
            {**base, "width": 720, "height": 1280, "steps": 2, "output": "both"},
            4,
        ),
    }


def main() -> None:
    """Print both comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--comfyui", help="a real ComfyUI's URL instead of the preview engine")
    parser.add_argument("--comfyui-dir", default="", help="its folder")
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    with ExitStack() as stack:
        url, home = options.comfyui, options.comfyui_dir
        if not url:
            home = stack.enter_context(tempfile.TemporaryDirectory())
            url = stack.enter_context(preview_engine(home))
        print(f"engine: {options.comfyui or 'the preview engine, a stand-in'}; {options.rounds} rounds, medians")
        for name, (job_input, part) in clips().items():
            print(f"{name}:")
            report(run_in_turns(url, home, job_input, max(2, options.rounds // part)))


if __name__ == "__main__":
    main()
