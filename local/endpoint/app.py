"""The FastAPI application: the routes, under the platform's path and at the root, and its errors as JSON."""

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from local.endpoint import client_routes, messages, page, remote, worker_routes
from local.endpoint.jobs import UnknownJob
from local.endpoint.messages import Json
from local.endpoint.origin import OwnSiteOnly
from local.endpoint.service import Service

TITLE = "Local RunPod endpoint (stand-in)"
DESCRIPTION = (
    "Speaks RunPod's serverless protocol to callers and workers on this machine; it is not RunPod. Every route is also "
    "under `/v2/{endpoint_id}`, with any endpoint id, as on the platform. `Authorization` is accepted and ignored."
)


def build_app(service: Service) -> FastAPI:
    """The application that serves `service`."""
    # FastAPI's own /docs loads its scripts from elsewhere; page.py has one that does not.
    app = FastAPI(title=TITLE, description=DESCRIPTION, lifespan=service.lifespan, docs_url=None, redoc_url=None)
    app.state.service = service
    app.add_middleware(OwnSiteOnly, names=service.options.names)
    for router in (client_routes.router, worker_routes.router):
        app.include_router(router)
        app.include_router(router, prefix="/v2/{endpoint_id}", include_in_schema=False)
    app.include_router(remote.router)
    page.serve(app)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(RequestValidationError, _answer_bad_query)
    for kind, status in ((UnknownJob, 404), (ClientDisconnect, 499)):
        app.add_exception_handler(kind, _answer_with(status))
    app.openapi = lambda: _build_openapi(app)  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    return app


async def _answer_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = error.detail
    if error.status_code in (404, 405):
        message = f"no route {request.method} {request.url.path}; /docs lists them"
    return Json({"error": message}, status_code=error.status_code, headers=error.headers)


async def _answer_bad_query(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return Json({"error": messages.explain(error.errors())}, status_code=400)


def _answer_with(status: int) -> Any:
    async def answer(_request: Request, error: Exception) -> Response:
        message = f"no job {error}: unknown, or its result has expired" if status == 404 else str(error)
        return Json({"error": message}, status_code=status)

    return answer


def _build_openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schemas = schema["components"]["schemas"]
        schemas.update(messages.body_schemas())
        messages.describe_worker(schemas, app.state.service.options.schemas)
        app.openapi_schema = schema
    return app.openapi_schema
