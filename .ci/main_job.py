"""A workflow job and a 1080p job on one worker with the preview engine, as a caller sends them.

usage: PYTHONPATH=. COMFYUI_PORT=9 python .ci/main_job.py    exit 1 when one fails
"""

import base64
import json
import tempfile
from pathlib import Path
from typing import Any

from client.arguments import ROOT, SAMPLE_IMAGE
from client.endpoint import Endpoint
from client.jobs import run_job
from client.results import check_frames, read_answer, save_files
from client.worker_process import worker_process

FRAMES = 5
IMAGE = base64.b64encode(SAMPLE_IMAGE.read_bytes()).decode()


def workflow_job() -> dict[str, Any]:
    """The worker's own graph, sent as a caller's."""
    graph = json.loads((ROOT / "workflow_api.json").read_text(encoding="utf-8"))
    (video,) = [node for node in graph.values() if node["class_type"] == "HunyuanVideo15ImageToVideo"]
    video["inputs"] |= {"width": 256, "height": 192, "length": FRAMES}
    return {"workflow": graph, "images": [{"name": "image.png", "image": IMAGE}]}


def large_job() -> dict[str, Any]:
    """The largest clip there is, a short one."""
    return {"image": IMAGE, "upscale": "1080p", "num_frames": FRAMES, "steps": 2}


def main() -> None:
    """Run both; a RunError ends it."""
    with tempfile.TemporaryDirectory() as folder, worker_process(Path(folder) / "worker.log") as url:
        for name, job_input in {"workflow": workflow_job(), "1080p": large_job()}.items():
            reply = run_job(Endpoint(url), "runsync", job_input, timeout=120)
            answer = read_answer(reply.get("output"))
            saved = save_files(reply["id"], answer, Path(folder))
            check_frames(answer, saved, FRAMES, None)
            (clip,) = saved.videos
            print(f"{name} job: {len(saved.frames)} frames, a video of {clip.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
