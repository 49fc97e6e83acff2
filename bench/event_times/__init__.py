"""For measurements only, never for the image: ComfyUI writes down what it says of its prompts, and when.

A folder for ComfyUI's custom_nodes/; it has no node. A busy ComfyUI sends its messages late, several at once: what a
node took is only told by the time at which the message was made. The file is BENCH_EVENTS, a line of JSON for each.
"""

import functools
import json
import os
import time
from pathlib import Path
from typing import Any

from server import PromptServer

NODE_CLASS_MAPPINGS: dict[str, Any] = {}
KINDS = ("execution_start", "executing", "progress", "execution_success")

_send = PromptServer.send_sync


@functools.wraps(_send)
def _note_and_send(self: Any, event: Any, data: Any, *args: Any, **kwargs: Any) -> None:
    if event in KINDS:
        line = json.dumps({"at": time.time(), "kind": event, **data})
        with Path(os.environ["BENCH_EVENTS"]).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    _send(self, event, data, *args, **kwargs)


PromptServer.send_sync = _note_and_send
