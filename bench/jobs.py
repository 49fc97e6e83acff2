"""The worker's own graphs on a ComfyUI that notes its messages (bench/probe): each job's, with their times."""

import json
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import pictures
from bench.real_comfyui import Running
from bench.stages import Message, Recording
from worker import config
from worker.comfyui import ComfyUI, Limits, Prompt, Scope, execute
from worker.graph import COMFYUIS_ATTENTION, fill
from worker.input import request

STALL, STOP = 3600.0, 60.0  # seconds: a compiler or a slow disk shows no sign of work
SETTINGS = config.read({"MAX_FRAMES": "1000"})


@dataclass(frozen=True)
class Job:
    """One job: what it asked for, the clip's form, ComfyUI's messages, and the frames that it saved."""

    wanted: request.Request
    form: request.Form
    recording: Recording
    frames: tuple[bytes, ...]


class Jobs:
    """Jobs with the same fields and graph options; `frame_saver`: frames are saved by the worker's own node."""

    def __init__(
        self,
        comfyui: Running,
        fields: Mapping[str, Any],
        graph_options: Sequence[str] = (),
        attention: str = COMFYUIS_ATTENTION,
        frame_saver: bool = True,
    ) -> None:
        self._running, self._fields = comfyui, fields
        self._changes: Any = {"options": graph_options, "attention": attention, "frame_saver": frame_saver}

    def run(self, number: int, **fields: Any) -> Job:
        """Job `number`, whose prompt, picture and seed no other has; nothing of it is left in ComfyUI's folders."""
        given = {"prompt": f"the rocket lifts off, take {number}", "seed": number, **self._fields, **fields}
        wanted = request.parse({"image": "uploaded below", **given}, SETTINGS)
        form, picture = wanted.form(*pictures.SIZE), pictures.photograph(number)
        limits = Limits(float("inf"), STALL, STOP, threading.Event())
        with closing(ComfyUI(self._running.url)) as client, Scope(self._running.base) as scope:
            filled = fill(
                wanted,
                form,
                image_name=client.upload(picture, "image.png", scope.place(picture)),
                prefix=scope.name,
                **self._changes,
            )
            prompt = Prompt(str(uuid.uuid4()), filled)
            files = execute(client, prompt, limits, scope, lambda _: None).files
            frames = tuple(client.fetch(file) for file in files if file.node_id == filled.frames_node)
        messages = tuple(_read_messages(self._running.events, prompt))
        return Job(wanted, form, Recording(messages), frames)

    def run_together(self, *numbers: int) -> list[Job]:
        """Jobs queued at once, in the order in which ComfyUI ran them."""
        with ThreadPoolExecutor(len(numbers)) as pool:
            return sorted(pool.map(self.run, numbers), key=lambda job: job.recording.started)


def _read_messages(path: Path, prompt: Prompt) -> Iterator[Message]:
    """What ComfyUI noted of the prompt."""
    for line in path.read_text(encoding="utf-8").splitlines():
        said = json.loads(line)
        if said.get("prompt_id") == prompt.id:
            node = said.get("node")
            title = prompt.graph.title(node) if node else None
            yield Message(said["at"], said["kind"], title, said.get("value", 0))
