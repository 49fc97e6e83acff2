"""The HTTP side: the routes of ComfyUI's that the worker and the neighbours of ComfyUI call, at / and below /api."""

import asyncio
import ipaddress
import itertools
import mimetypes
import os
import platform
import re
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from local.engine.execution import Machine
from local.engine.folders import OutsideFolder, split_annotation
from local.engine.queue import PromptQueue
from local.engine.schemas import JSON, RELEASE
from local.engine.sockets import Sockets
from local.engine.validation import fault, validate

STAND_IN = "the preview engine answered in place of ComfyUI, and no model ran"

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_LARGEST_BODY = 104857600
_TROUBLE = "500 Internal Server Error\n\nServer got itself in trouble"
_SECRET = ("api_key_comfy_org", "auth_token_comfy_org")
_MAY_RUN = re.compile(r"html|javascript|ecmascript|css|xml")
"""Kinds of files that may hold a script (SVG is XML): never shown, always downloaded."""


class Routes:
    """Bodies of an unexpected kind raise here as they do in ComfyUI, and aiohttp answers 500 for both."""

    def __init__(self, machine: Machine, queue: PromptQueue, sockets: Sockets) -> None:
        self._machine = machine
        self._queue = queue
        self._sockets = sockets
        self._numbers = itertools.count()

    def application(self) -> web.Application:
        """All that answers."""
        app = web.Application(client_max_size=_LARGEST_BODY, middlewares=[_refuse_foreign, self._suffer])
        routes = [
            web.get("/ws", self._sockets.handle),
            web.get("/system_stats", self._get_system_stats),
            web.get("/object_info", self._get_object_info),
            web.get("/object_info/{class_type}", self._get_object_info),
            web.post("/upload/image", self._post_image),
            web.get("/view", self._get_view),
            web.post("/prompt", self._post_prompt),
            web.get("/queue", self._get_queue),
            web.post("/queue", self._post_queue),
            web.get("/history", self._get_history),
            web.get("/history/{prompt_id}", self._get_history),
            web.post("/interrupt", self._post_interrupt),
            web.post("/free", self._post_free),
        ]
        app.add_routes([*routes, web.post("/api/jobs/{prompt_id}/cancel", self._post_cancel)])
        app.add_routes(web.RouteDef(route.method, f"/api{route.path}", route.handler, route.kwargs) for route in routes)
        app.on_response_prepare.append(_name_the_server)
        return app

    @web.middleware
    async def _suffer(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """The scenario's slow answers and failing paths."""
        faults = self._machine.faults
        if not request.path.endswith("/ws"):
            await asyncio.sleep(faults.scenario.slow)
        if faults.refuses(request.path.removeprefix("/api")):
            return web.Response(status=500, text=_TROUBLE)
        return await handler(request)

    async def _get_system_stats(self, _request: web.Request) -> web.Response:
        return web.json_response(_system_stats())

    async def _get_object_info(self, request: web.Request) -> web.Response:
        class_type, schemas = request.match_info.get("class_type"), self._machine.schemas
        return web.json_response(schemas.everything() if class_type is None else schemas.node(class_type))

    async def _post_image(self, request: web.Request) -> web.Response:
        form = await request.post()
        image: Any = form.get("image")
        kind = str(form.get("type") or "input")
        if self._machine.folders.folder(kind) is None:
            raise KeyError(kind)
        if not image:
            return web.Response(status=400)
        subfolder = str(form.get("subfolder", ""))
        overwrite = form.get("overwrite") in ("true", "1")
        try:
            name = self._machine.folders.store(image.file.read(), image.filename, kind, subfolder, overwrite)
        except OutsideFolder:
            return web.Response(status=400)
        return web.json_response({"name": name, "subfolder": subfolder, "type": kind})

    async def _get_view(self, request: web.Request) -> web.StreamResponse:
        query, folders = request.query, self._machine.folders
        if "filename" not in query:
            return web.Response(status=404)
        name, annotated = split_annotation(query["filename"])
        kind = annotated or query.get("type", "output")
        if not name or name.startswith("/") or ".." in name or folders.folder(kind) is None:
            return web.Response(status=400)
        try:
            path = folders.view(query["filename"], kind, query.get("subfolder", ""))
        except OutsideFolder:
            return web.Response(status=403)
        if not path.is_file():
            return web.Response(status=404)
        return web.FileResponse(path, headers=_describe(path.name))

    async def _post_prompt(self, request: web.Request) -> web.Response:
        body = await request.json()
        number = next(self._numbers)
        if "prompt" not in body:
            return _refuse(fault("no_prompt", "No prompt provided", "No prompt provided"))
        given = body.get("prompt_id")
        prompt_id = str(uuid.uuid4()) if given is None else given
        if not _is_canonical(prompt_id):
            details = "a UUID in lower case, with hyphens; or leave it out"
            return _refuse(fault("invalid_prompt_id", "prompt_id must be a valid UUID", details))
        graph = body["prompt"]
        verdict = validate(graph, self._machine.schemas, self._machine.folders.has)
        if verdict.error:
            return _refuse(verdict.error, verdict.node_errors)
        self._queue.put(number, prompt_id, graph, _extra(body), verdict.outputs)
        return web.json_response({"prompt_id": prompt_id, "number": number, "node_errors": verdict.node_errors})

    async def _get_queue(self, _request: web.Request) -> web.Response:
        running = [prompt.row() for prompt in self._queue.running()]
        pending = [prompt.row() for prompt in self._queue.pending()]
        return web.json_response({"queue_running": running, "queue_pending": pending})

    async def _post_queue(self, request: web.Request) -> web.Response:
        body = await request.json()
        for prompt_id in body.get("delete", []):
            self._queue.delete(prompt_id)
        return web.Response()

    async def _get_history(self, request: web.Request) -> web.Response:
        return web.json_response(self._queue.history(request.match_info.get("prompt_id")))

    async def _post_interrupt(self, request: web.Request) -> web.Response:
        body: JSON = await request.json() if await request.read() else {}
        self._interrupt(body.get("prompt_id"))
        return web.Response()

    async def _post_cancel(self, request: web.Request) -> web.Response:
        prompt_id = request.match_info["prompt_id"]
        return web.json_response({"cancelled": self._queue.delete(prompt_id) or self._interrupt(prompt_id)})

    def _interrupt(self, target: str | None) -> bool:
        """Stop what runs, if it is `target` or no matter what; whether it was there to be stopped."""
        running = any(target in (None, "", prompt.id) for prompt in self._queue.running())
        if running and not self._machine.faults.loses_interrupt():
            self._machine.interrupt.request()
        return running

    async def _post_free(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body.get("free_memory"):
            self._queue.ask_to_free()
        return web.Response()


def _refuse(error: JSON, node_errors: JSON | None = None) -> web.Response:
    return web.json_response({"error": error, "node_errors": node_errors or {}}, status=400)


def _describe(filename: str) -> dict[str, str]:
    kind = mimetypes.guess_type(filename)[0] or "application/octet-stream"
    headers = {"X-Content-Type-Options": "nosniff"}
    if _MAY_RUN.search(kind):
        downloaded = {"Content-Type": "application/octet-stream", "Cache-Control": "no-store"}
        return {**headers, **downloaded, "Content-Disposition": f'attachment; filename="{filename}"'}
    return {**headers, "Content-Type": kind, "Content-Disposition": f'filename="{filename}"'}


def _is_canonical(prompt_id: Any) -> bool:
    try:
        return isinstance(prompt_id, str) and str(uuid.UUID(prompt_id)) == prompt_id
    except ValueError:
        return False


def _extra(body: JSON) -> JSON:
    # Keys are given to the node that asks for them and are in no history.
    extra: JSON = {name: value for name, value in body.get("extra_data", {}).items() if name not in _SECRET}
    if "client_id" in body:
        extra["client_id"] = body["client_id"]
    return {**extra, "create_time": int(time.time() * 1000)}


def _system_stats() -> JSON:
    total = _memory("SC_PHYS_PAGES")
    free = _memory("SC_AVPHYS_PAGES") or total
    system = {
        "os": platform.system().lower(),
        "ram_total": total,
        "ram_free": free,
        "comfyui_version": RELEASE,
        "stand_in": STAND_IN,
        "python_version": sys.version,
        "pytorch_version": "none",
        "embedded_python": False,
        "argv": sys.argv,
    }
    device = {
        "name": "preview engine (no model, no GPU)",
        "type": "cpu",
        "index": None,
        "vram_total": total,
        "vram_free": free,
        "torch_vram_total": 0,
        "torch_vram_free": 0,
    }
    return {"system": system, "devices": [device]}


def _memory(pages: str) -> int:
    """Bytes; 0 where the system does not say (macOS names no free pages)."""
    return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE") if pages in os.sysconf_names else 0


async def _name_the_server(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = f"preview-engine (stand-in for ComfyUI {RELEASE})"


@web.middleware
async def _refuse_foreign(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """On loopback a page of another origin must not reach the server."""
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        return web.Response(status=403)
    origin = urlsplit(request.headers.get("Origin", ""))
    host = urlsplit(f"//{request.headers.get('Host', '')}")
    if origin.hostname and host.hostname and _is_loopback(host.hostname):
        same_port = origin.port is None or host.port is None or origin.port == host.port
        if origin.hostname != host.hostname or not same_port:
            return web.Response(status=403)
    return await handler(request)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
