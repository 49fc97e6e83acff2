"""Prompts as /api/jobs shows them."""

from collections.abc import Iterator
from typing import Any

from local.engine.queue import Prompt, PromptQueue
from local.engine.schemas import JSON


def list_jobs(queue: PromptQueue) -> list[JSON]:
    """Every prompt known: waiting, running, finished."""
    return list(_jobs(queue))


def find_job(queue: PromptQueue, prompt_id: str) -> JSON | None:
    """One of them."""
    return next((job for job in _jobs(queue) if job["id"] == prompt_id), None)


def _jobs(queue: PromptQueue) -> Iterator[JSON]:
    yield from (_unfinished(prompt, "pending") for prompt in queue.pending())
    yield from (_unfinished(prompt, "in_progress") for prompt in queue.running())
    yield from (_finished(entry) for entry in reversed(queue.history().values()))


def _unfinished(prompt: Prompt, status: str) -> JSON:
    return _job(prompt.row(), status, {})


def _finished(entry: JSON) -> JSON:
    status = "completed" if entry["status"]["completed"] else "failed"
    times = [data["timestamp"] for _event, data in entry["status"]["messages"]]
    job = _job(entry["prompt"], status, entry["outputs"])
    return {**job, "execution_start_time": times[0], "execution_end_time": times[-1]}


def _job(row: list[Any], status: str, outputs: JSON) -> JSON:
    number, prompt_id, _graph, extra, _outputs = row
    previews = [
        {**file, "nodeId": node, "mediaType": "images"} for node, ui in outputs.items() for file in ui["images"]
    ]
    return {
        "id": prompt_id,
        "status": status,
        "priority": number,
        "create_time": extra.get("create_time"),
        "execution_start_time": None,
        "execution_end_time": None,
        "outputs_count": len(previews),
        "preview_output": previews[0] if previews else None,
    }
