"""HTTP: what this server is and has; it says here that it is not ComfyUI."""

import os
import platform
import sys

from aiohttp import web

from local.engine.schemas import JSON, Schemas
from local.engine.sockets import FEATURES

STAND_IN = "preview engine: stands in for ComfyUI; no model, no GPU, its frames are not Hunyuan's"


class InfoRoutes:
    """/system_stats, /object_info, /models, /features."""

    def __init__(self, schemas: Schemas) -> None:
        self._schemas = schemas

    def routes(self) -> list[web.RouteDef]:
        """Path by path."""
        return [
            web.get("/system_stats", self._get_system_stats),
            web.get("/features", self._get_features),
            web.get("/object_info", self._get_object_info),
            web.get("/object_info/{class_type}", self._get_object_info),
            web.get("/models", self._get_models),
            web.get("/models/{folder}", self._get_models),
        ]

    async def _get_system_stats(self, _request: web.Request) -> web.Response:
        return web.json_response(_system_stats())

    async def _get_features(self, _request: web.Request) -> web.Response:
        return web.json_response(FEATURES)

    async def _get_object_info(self, request: web.Request) -> web.Response:
        class_type = request.match_info.get("class_type")
        schemas = self._schemas.everything() if class_type is None else self._schemas.node(class_type)
        return web.json_response(schemas)

    async def _get_models(self, request: web.Request) -> web.Response:
        folder = request.match_info.get("folder")
        names = self._schemas.model_folders() if folder is None else self._schemas.models(folder)
        return web.Response(status=404) if names is None else web.json_response(names)


def _system_stats() -> JSON:
    total = _memory("SC_PHYS_PAGES")
    free = _memory("SC_AVPHYS_PAGES") or total
    system = {
        "os": platform.system().lower(),
        "ram_total": total,
        "ram_free": free,
        "comfyui_version": "0.8.0",
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
    """Bytes; 0 where the system does not tell (macOS tells no free pages)."""
    return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE") if pages in os.sysconf_names else 0
