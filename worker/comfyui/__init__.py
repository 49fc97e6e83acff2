"""ComfyUI seen from outside: the only package that knows its URLs, message types, history keys and folders.

What is relied on was observed on ComfyUI 0.8.0; docs/ARCHITECTURE.md lists what each decision rests on.
"""

from worker.comfyui.client import ComfyUI, Prompt, connect
from worker.comfyui.events import Event, Events
from worker.comfyui.folders import Scope
from worker.comfyui.follow import Limits, execute, follow, stop, wait_for_answer
from worker.comfyui.outputs import Outputs, SavedFile, Text

__all__ = [
    "ComfyUI",
    "Event",
    "Events",
    "Limits",
    "Outputs",
    "Prompt",
    "SavedFile",
    "Scope",
    "Text",
    "connect",
    "execute",
    "follow",
    "stop",
    "wait_for_answer",
]
