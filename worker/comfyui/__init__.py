"""ComfyUI seen from outside: the only room that knows its URLs, message types, history keys and folders.

What is relied on was observed on ComfyUI 0.8.0; docs/ARCHITECTURE.md lists what each decision rests on.
"""

from worker.comfyui.client import ComfyUI, Prompt, SavedFile
from worker.comfyui.events import Event, Events
from worker.comfyui.folders import clear, read_saved, set_aside
from worker.comfyui.follow import Limits, follow, stop
from worker.comfyui.last_lines import read_last_lines

__all__ = [
    "ComfyUI",
    "Event",
    "Events",
    "Limits",
    "Prompt",
    "SavedFile",
    "clear",
    "follow",
    "read_last_lines",
    "read_saved",
    "set_aside",
    "stop",
]
