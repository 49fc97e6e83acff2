"""HTTP: queueing prompts, watching the queue and the history, stopping."""

import itertools
import time
import uuid

from aiohttp import web

from local.engine.folders import Folders
from local.engine.interrupt import Interrupt
from local.engine.jobs import find_job, list_jobs
from local.engine.queue import PromptQueue
from local.engine.scenario import Faults
from local.engine.schemas import JSON, Schemas
from local.engine.validation import fault, validate


class PromptRoutes:
    """Bodies of an unexpected kind raise here as they do in ComfyUI, and aiohttp answers 500 for both."""

    def __init__(
        self, queue: PromptQueue, schemas: Schemas, folders: Folders, interrupt: Interrupt, faults: Faults
    ) -> None:
        self._queue = queue
        self._schemas = schemas
        self._folders = folders
        self._interrupt = interrupt
        self._faults = faults
        self._numbers = itertools.count()

    def routes(self) -> list[web.RouteDef]:
        """Path by path."""
        return [
            web.get("/prompt", self._get_prompt),
            web.post("/prompt", self._post_prompt),
            web.get("/queue", self._get_queue),
            web.post("/queue", self._post_queue),
            web.get("/history", self._get_history),
            web.post("/history", self._post_history),
            web.get("/history/{prompt_id}", self._get_history),
            web.post("/interrupt", self._post_interrupt),
            web.post("/free", self._post_free),
        ]

    def job_routes(self) -> list[web.RouteDef]:
        """Those that exist only below /api."""
        return [web.get("/api/jobs", self._get_jobs), web.get("/api/jobs/{prompt_id}", self._get_job)]

    async def _get_prompt(self, _request: web.Request) -> web.Response:
        return web.json_response({"exec_info": {"queue_remaining": self._queue.remaining()}})

    async def _post_prompt(self, request: web.Request) -> web.Response:
        body = await request.json()
        number = self._number(body if isinstance(body, dict) else {})
        if "prompt" not in body:
            error = fault("no_prompt", "No prompt provided", "No prompt provided")
            return web.json_response({"error": error, "node_errors": {}}, status=400)
        graph = body["prompt"]
        verdict = validate(graph, self._schemas, lambda name: self._folders.locate(name).exists())
        if verdict.error:
            return web.json_response({"error": verdict.error, "node_errors": verdict.node_errors}, status=400)
        prompt_id = str(body.get("prompt_id", uuid.uuid4()))
        self._queue.put(number, prompt_id, graph, _extra(body), verdict.outputs)
        return web.json_response({"prompt_id": prompt_id, "number": number, "node_errors": verdict.node_errors})

    def _number(self, body: JSON) -> float:
        count = next(self._numbers)
        if "number" in body:
            return float(body["number"])
        return -count if body.get("front") else count

    async def _get_queue(self, _request: web.Request) -> web.Response:
        running = [prompt.row() for prompt in self._queue.running()]
        pending = [prompt.row() for prompt in self._queue.pending()]
        return web.json_response({"queue_running": running, "queue_pending": pending})

    async def _post_queue(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body.get("clear"):
            self._queue.clear()
        for prompt_id in body.get("delete", []):
            self._queue.delete(prompt_id)
        return web.Response()

    async def _get_history(self, request: web.Request) -> web.Response:
        newest = request.query.get("max_items")
        prompt_id = request.match_info.get("prompt_id")
        return web.json_response(self._queue.history(prompt_id, int(newest) if newest else None))

    async def _post_history(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body.get("clear"):
            self._queue.forget()
        for prompt_id in body.get("delete", []):
            self._queue.forget(prompt_id)
        return web.Response()

    async def _post_interrupt(self, request: web.Request) -> web.Response:
        body: JSON = await request.json() if await request.read() else {}
        target = body.get("prompt_id")
        hits = not target or any(prompt.id == target for prompt in self._queue.running())
        if hits and not self._faults.loses_interrupt():
            self._interrupt.request()
        return web.Response()

    async def _post_free(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body.get("unload_models") or body.get("free_memory"):
            self._queue.set_flag("free_memory", bool(body.get("free_memory")))
        return web.Response()

    async def _get_jobs(self, _request: web.Request) -> web.Response:
        return web.json_response({"jobs": list_jobs(self._queue)})

    async def _get_job(self, request: web.Request) -> web.Response:
        job = find_job(self._queue, request.match_info["prompt_id"])
        return web.json_response(job or {"error": "Job not found"}, status=200 if job else 404)


def _extra(body: JSON) -> JSON:
    extra: JSON = {**body.get("extra_data", {})}
    if "client_id" in body:
        extra["client_id"] = body["client_id"]
    return {**extra, "create_time": int(time.time() * 1000)}
