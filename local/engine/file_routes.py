"""HTTP: pictures in, files out."""

import io
import mimetypes
from typing import Any

from aiohttp import web
from PIL import Image

from local.engine.folders import Folders, OutsideFolder, split_annotation

_NEVER_SHOWN = {"text/html", "text/html-sandboxed", "application/xhtml+xml", "text/javascript", "text/css"}


class FileRoutes:
    """/upload/image and /view."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders

    def routes(self) -> list[web.RouteDef]:
        """Path by path."""
        return [web.post("/upload/image", self._post_image), web.get("/view", self._get_view)]

    async def _post_image(self, request: web.Request) -> web.Response:
        form = await request.post()
        image: Any = form.get("image")
        kind = str(form.get("type") or "input")
        if self._folders.folder(kind) is None:
            raise KeyError(kind)
        if not image:
            return web.Response(status=400)
        subfolder = str(form.get("subfolder", ""))
        overwrite = form.get("overwrite") in ("true", "1")
        try:
            name = self._folders.store(image.file.read(), image.filename, kind, subfolder, overwrite)
        except OutsideFolder:
            return web.Response(status=400)
        return web.json_response({"name": name, "subfolder": subfolder, "type": kind})

    async def _get_view(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        if "filename" not in query:
            return web.Response(status=404)
        name, annotated = split_annotation(query["filename"])
        kind = annotated or query.get("type", "output")
        if not name or name.startswith("/") or ".." in name or self._folders.folder(kind) is None:
            return web.Response(status=400)
        try:
            path = self._folders.view(query["filename"], kind, query.get("subfolder", ""))
        except OutsideFolder:
            return web.Response(status=403)
        if not path.is_file():
            return web.Response(status=404)
        headers = {"Content-Disposition": f'filename="{path.name}"'}
        if "preview" in query:
            kind, body = _shrink(path.read_bytes(), query["preview"])
            return web.Response(body=body, content_type=f"image/{kind}", headers=headers)
        return web.FileResponse(path, headers={**headers, "Content-Type": _content_type(path.name)})


def _content_type(name: str) -> str:
    guess = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return "application/octet-stream" if guess in _NEVER_SHOWN else guess


def _shrink(data: bytes, how: str) -> tuple[str, bytes]:
    """Re-encode a picture as 'webp;50' or 'jpeg;90' says."""
    kind, _, quality = how.partition(";")
    kind = kind if kind in ("webp", "jpeg") else "webp"
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(data)) as image:
        picture = image if kind == "webp" else image.convert("RGB")
        picture.save(buffer, format=kind, quality=int(quality) if quality.isdigit() else 90)
    return kind, buffer.getvalue()
