"""The page on which a person tries the endpoint, and the API reference: the files of local/page, as they are."""

import logging
from pathlib import Path

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).parents[1] / "page"
EXAMPLES = Path(__file__).parents[2] / "examples"
HEADERS = {
    # Scripts reach this server and nothing else: a key that is typed in cannot be sent anywhere but to /remote.
    # Pictures and clips may lie in a bucket.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: https:; media-src blob: https:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

router = APIRouter(include_in_schema=False)
log = logging.getLogger(__name__)


class Files(StaticFiles):
    """A folder's files with HEADERS; one that is not there, as in the image, is a 404."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory=directory, check_dir=False)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file's answer."""
        response: Response = await super().get_response(path, scope)
        response.headers.update(HEADERS)
        return response


def serve(app: FastAPI) -> None:
    """Add the page at /, the reference at /docs, and what they load."""
    app.include_router(router)
    app.mount("/page", Files(FOLDER))
    app.mount("/examples", Files(EXAMPLES))


@router.get("/")
async def show_page(request: Request) -> Response:
    """Where a person makes a clip."""
    return await _file("index.html", request)


@router.get("/docs")
async def show_reference(request: Request) -> Response:
    """The routes and their schemas, from /openapi.json."""
    return await _file("reference.html", request)


async def _file(name: str, request: Request) -> Response:
    return await Files(FOLDER).get_response(name, request.scope)
