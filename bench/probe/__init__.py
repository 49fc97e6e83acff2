"""For measurements only, never for the image: what a ComfyUI does inside, written to files.

A folder for ComfyUI's custom_nodes/; it has no node. Its environment says what to do:

BENCH_EVENTS   a file that gets a line of JSON for each message about a prompt, with the time at which it was made: a
               busy ComfyUI sends its messages late, several at once
BENCH_PROFILE  a file that gets PyTorch's profile of one call of the diffusion model, once FILE.wanted is there
BENCH_PARENT   the process without which this ComfyUI ends
"""

import functools
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import comfy.model_base
import torch
from server import PromptServer

NODE_CLASS_MAPPINGS: dict[str, Any] = {}
KINDS = ("execution_start", "executing", "progress", "execution_success")
KERNELS = 60  # of a profile: those that take longest

_send = PromptServer.send_sync
_apply = comfy.model_base.BaseModel.apply_model


@functools.wraps(_send)
def _note_and_send(self: Any, event: Any, data: Any, *args: Any, **kwargs: Any) -> None:
    if event in KINDS:
        line = json.dumps({"at": time.time(), "kind": event, **data})
        with Path(os.environ["BENCH_EVENTS"]).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    _send(self, event, data, *args, **kwargs)


@functools.wraps(_apply)
def _profile_and_apply(*args: Any, **kwargs: Any) -> Any:
    target = Path(os.environ["BENCH_PROFILE"])
    wanted = Path(f"{target}.wanted")
    if not wanted.exists():
        return _apply(*args, **kwargs)
    wanted.unlink()
    activities = [torch.profiler.ProfilerActivity.CPU]
    if torch.cuda.is_available():
        activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        result = _apply(*args, **kwargs)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
    kind = "self_device_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
    spent = {event.key: getattr(event, kind) / 1e6 for event in profile.key_averages()}
    longest = dict(sorted(spent.items(), key=lambda item: -item[1])[:KERNELS])
    target.write_text(json.dumps({"seconds": sum(spent.values()), "kernels": longest}))
    return result


def _end_without(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


PromptServer.send_sync = _note_and_send
comfy.model_base.BaseModel.apply_model = _profile_and_apply
threading.Thread(target=_end_without, args=(int(os.environ["BENCH_PARENT"]),), daemon=True).start()
