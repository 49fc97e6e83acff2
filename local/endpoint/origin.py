"""Who may call: programs, and this server's own page; no other website that happens to be open on this machine.

A website can send any form to localhost, read answers under a name that it makes point here, and load a URL as a
picture. Browsers tell on it: by Host, Origin and Sec-Fetch-Site.
"""

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from local.endpoint.messages import Json

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
PAGES = ("/", "/docs")
"""What a link on another site may lead to."""


class OwnSiteOnly:
    """Answers 403 to what another website has a browser send, on every route."""

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        self._app, self._names = app, {*LOCAL_NAMES, *names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a call, or refuse it."""
        if scope["type"] == "http" and (fault := self._find_fault(scope)):
            await Json({"error": fault}, status_code=403)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _find_fault(self, scope: Scope) -> str:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._is_own(host):
            return "this server is called by its address, or as localhost: another name may be a website's"
        if headers.get("origin", f"http://{host}").lower() != f"http://{host}".lower():
            return "another website's page may not call this server"
        site = headers.get("sec-fetch-site", "none")
        if site not in {"none", "same-origin"} and not _is_followed_link(scope, headers):
            return "another website's page may not call this server"
        return ""

    def _is_own(self, host: str) -> bool:
        """Whether nobody else can have made up the name: an address cannot be made to point elsewhere."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
            if name in self._names:
                return True
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _is_followed_link(scope: Scope, headers: Headers) -> bool:
    navigates = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return navigates and scope["method"] == "GET" and scope["path"] in PAGES
