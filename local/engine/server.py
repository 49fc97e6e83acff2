"""The HTTP application: routes at the root and below /api, and what happens to every request."""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from local.engine.scenario import Faults
from local.engine.sockets import FEATURES

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_TROUBLE = "500 Internal Server Error\n\nServer got itself in trouble"


def build(routes: Iterable[web.RouteDef], api_routes: Iterable[web.RouteDef], faults: Faults) -> web.Application:
    """An application that serves `routes` twice, at the root and below /api, and `api_routes` as they are."""
    app = web.Application(client_max_size=FEATURES["max_upload_size"], middlewares=[_refuse_foreign, _suffer(faults)])
    at_root = list(routes)
    below_api = [web.RouteDef(route.method, f"/api{route.path}", route.handler, route.kwargs) for route in at_root]
    app.add_routes([*at_root, *below_api, *api_routes])
    app.on_response_prepare.append(_name_the_server)
    return app


async def _name_the_server(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "preview-engine (stand-in for ComfyUI 0.8.0)"


def _suffer(faults: Faults) -> Any:
    """Middleware for the scenario's slow answers and failing paths."""

    @web.middleware
    async def suffer(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.endswith("/ws"):
            await asyncio.sleep(faults.scenario.slow)
        if faults.refuses(request.path.removeprefix("/api")):
            return web.Response(status=500, text=_TROUBLE)
        return await handler(request)

    return suffer


@web.middleware
async def _refuse_foreign(request: web.Request, handler: Handler) -> web.StreamResponse:
    """On loopback a page of another origin must not reach the server."""
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
