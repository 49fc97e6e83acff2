"""How long ComfyUI takes to save a clip's frames, with SaveImage and with SaveFrames: `python -m bench.frames`.

Needs a running ComfyUI that has the node. Each saver writes the same frames in turns; the time is ComfyUI's own, from
execution_start to execution_success, with the frames in its cache: the saver alone. With --pid (ComfyUI's process, on
this machine) the growth of its memory is told too; with --comfyui-dir the files are removed.
"""

import argparse
import io
import shutil
import statistics
import time
import uuid
from pathlib import Path
from typing import Any

import requests
from PIL import Image

SAVERS: dict[str, dict[str, Any]] = {
    "SaveImage (png)": {"class_type": "SaveImage"},
    "SaveFrames jpeg 95": {"class_type": "SaveFrames", "format": "jpeg", "quality": 95},
    "SaveFrames webp 90": {"class_type": "SaveFrames", "format": "webp", "quality": 90},
    "SaveFrames png": {"class_type": "SaveFrames", "format": "png", "quality": 95},
}


def upload(url: str, path: Path, width: int, height: int) -> str:
    """Send the photograph at that size; returns its name in ComfyUI."""
    buffer = io.BytesIO()
    Image.open(path).convert("RGB").resize((width, height)).save(buffer, "PNG")
    files = {"image": (f"bench_{width}x{height}.png", buffer.getvalue())}
    answer = requests.post(f"{url}/upload/image", files=files, data={"overwrite": "true"}, timeout=60)
    return str(answer.json()["name"])


def build_graph(picture: str, frames: int, saver: dict[str, Any], folder: str) -> dict[str, Any]:
    """The picture `frames` times over, and the saver."""
    inputs = {name: value for name, value in saver.items() if name != "class_type"}
    inputs |= {"images": ["2", 0], "filename_prefix": f"{folder}/{uuid.uuid4().hex}/frame"}
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": picture}},
        "2": {"class_type": "RepeatImageBatch", "inputs": {"image": ["1", 0], "amount": frames}},
        "3": {"class_type": saver["class_type"], "inputs": inputs},
    }


def run(url: str, graph: dict[str, Any], frames: int) -> float:
    """Run the graph; returns the milliseconds of ComfyUI's own time for each frame."""
    queued = requests.post(f"{url}/prompt", json={"prompt": graph}, timeout=60).json()
    entry = None
    while entry is None:
        time.sleep(0.05)
        entry = requests.get(f"{url}/history/{queued['prompt_id']}", timeout=60).json().get(queued["prompt_id"])
    stamps = {name: data["timestamp"] for name, data in entry["status"]["messages"]}
    assert len(entry["outputs"]["3"]["images"]) == frames
    return float(stamps["execution_success"] - stamps["execution_start"]) / frames


def memory(pid: int, field: str) -> float:
    """A figure of the process in MB: VmRSS is its memory now, VmHWM the most since `forget_peak`."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith(field))


def forget_peak(pid: int) -> None:
    """Have the kernel count VmHWM anew (proc(5), clear_refs)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def compare(options: argparse.Namespace, folder: str) -> None:
    """Run the savers in turns and print each one's figures beside SaveImage's."""
    picture = upload(options.comfyui, options.image, options.width, options.height)
    times: dict[str, list[float]] = {name: [] for name in SAVERS}
    growth = dict.fromkeys(SAVERS, 0.0)
    for turn in range(options.rounds + 1):
        for name, saver in SAVERS.items():
            graph = build_graph(picture, options.frames, saver, folder)
            before = memory(options.pid, "VmRSS") if options.pid else 0.0
            if options.pid:
                forget_peak(options.pid)
            spent = run(options.comfyui, graph, options.frames)
            if turn:  # the first turn fills ComfyUI's cache
                times[name].append(spent)
                growth[name] = max(growth[name], memory(options.pid, "VmHWM") - before if options.pid else 0.0)
    base = statistics.median(next(iter(times.values())))
    for name, spent_in_turns in times.items():
        middle = statistics.median(spent_in_turns)
        peak = f"  memory +{growth[name]:.0f} MB" if options.pid else ""
        print(
            f"  {name:<19} {middle:6.1f} ms a frame ({min(spent_in_turns):.1f} to {max(spent_in_turns):.1f})"
            f"  {middle / base:5.3f} of SaveImage's{peak}"
        )


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--comfyui", default="http://127.0.0.1:8188", help="its URL")
    parser.add_argument("--comfyui-dir", type=Path, help="the folder with its output folder")
    parser.add_argument("--pid", type=int, help="its process")
    parser.add_argument("--image", type=Path, default=Path("examples/rocket.jpg"))
    parser.add_argument("--frames", type=int, default=25)
    parser.add_argument("--width", type=int, default=720)
    parser.add_argument("--height", type=int, default=1280)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    folder = f"bench-{uuid.uuid4().hex}"
    print(f"{options.frames} frames of {options.width}x{options.height}; {options.rounds} rounds, medians")
    try:
        compare(options, folder)
    finally:
        if options.comfyui_dir:
            shutil.rmtree(options.comfyui_dir / "output" / folder, ignore_errors=True)


if __name__ == "__main__":
    main()
