"""The endpoint as a running server: `start`, and the environment of its workers."""

import errno
import logging
import os
import secrets
import socket
import threading
import time
from types import TracebackType
from typing import Any

import uvicorn

from local.endpoint.app import build_app
from local.endpoint.options import Options
from local.endpoint.service import Service

log = logging.getLogger("uvicorn.error")


class PortTaken(OSError):
    """Another program listens on the port."""


class Endpoint:
    """A running local endpoint; close it, or use it in a `with`."""

    def __init__(self, url: str, service: Service, server: uvicorn.Server, thread: threading.Thread) -> None:
        self.url = url
        self._service = service
        self._server = server
        self._thread = thread

    def worker_environ(self, worker_id: str | None = None) -> dict[str, str]:
        """The variables that the platform sets for a worker; each call makes a new worker unless it is named."""
        options = self._service.options
        base = f"{self.url}/v2/{options.endpoint_id}"
        # The SDK adds `&...` to these URLs, so each must have a query already, and fills in $ID and $RUNPOD_POD_ID.
        return {
            "RUNPOD_WEBHOOK_GET_JOB": f"{base}/job-take/$ID?gpu=none",
            "RUNPOD_WEBHOOK_POST_OUTPUT": f"{base}/job-done/$RUNPOD_POD_ID/$ID?gpu=none",
            "RUNPOD_WEBHOOK_PING": f"{base}/ping/$RUNPOD_POD_ID",
            "RUNPOD_PING_INTERVAL": str(round(options.ping_interval * 1000)),
            "RUNPOD_AI_API_KEY": "local",
            "RUNPOD_POD_ID": worker_id or f"local-{secrets.token_hex(4)}",
            "RUNPOD_ENDPOINT_ID": options.endpoint_id,
        }

    def close(self) -> None:
        """Answer those who wait and end the server; jobs and results are gone with it.

        Where it lingers, a caller who looks now and then still gets the result that has just come.
        """
        end = time.monotonic() + self._service.options.linger
        while time.monotonic() < end and self._service.has_untold_results():
            time.sleep(0.05)
        self._service.close()
        self._server.should_exit = True
        self._thread.join(timeout=10)

    def __enter__(self) -> "Endpoint":
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()


def start(port: int = 0, host: str = "localhost", **options: Any) -> Endpoint:
    """Serve an endpoint from a thread of this process; returns when it answers.

    `options` are the fields of Options. Port 0 picks a free one. Raises PortTaken, an OSError.
    """
    sockets = _listen(host, port)
    port = sockets[0].getsockname()[1]
    service = Service(Options(**{"names": (host,), **options}))
    # asyncio's own loop, because uvloop would keep the port open in a forked child; no uvicorn log config, because the
    # lines belong into the log of the process that this thread is a guest of.
    config = uvicorn.Config(
        build_app(service),
        loop="asyncio",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": sockets}, name="local-endpoint", daemon=True)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise RuntimeError("the local endpoint ended while it started; its log says why")
        time.sleep(0.01)
    # Uvicorn leaves this line to whoever opened the sockets.
    log.info("Uvicorn running on http://%s:%d (Press CTRL+C to quit)", host, port)
    url = f"http://{_reachable(host)}:{port}"
    return Endpoint(url, service, server, thread)


def _reachable(host: str) -> str:
    """A name under which this machine reaches a server that listens on `host`."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 (compared, not bound)
        return "localhost"
    return f"[{host}]" if ":" in host else host


def _listen(host: str, port: int) -> list[socket.socket]:
    """Sockets on every address of `host`, all on one port (0: a free one); raises PortTaken or another OSError."""
    sockets: list[socket.socket] = []
    for family, address in _addresses(host, port):
        chosen = sockets[0].getsockname()[1] if sockets else port
        try:
            sockets.append(_bind(family, (address[0], chosen, *address[2:])))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL and sockets:
                continue  # the name has an IPv6 address, and the machine has no IPv6
            for opened in sockets:
                opened.close()
            if error.errno == errno.EADDRINUSE:
                message = (
                    f"port {chosen} on {host} is taken: stop the program that listens there, or choose another port"
                )
                raise PortTaken(errno.EADDRINUSE, message) from error
            raise
    _close_in_children(sockets)
    return sockets


def _addresses(host: str, port: int) -> list[tuple[int, Any]]:
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    found = {(int(info[0]), info[4]) for info in infos}
    return sorted(found, key=lambda entry: entry[0] != socket.AF_INET)


def _bind(family: int, address: Any) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(128)  # now, so that a port that another program has is found out here
    except OSError:
        listener.close()
        raise
    return listener


def _close_in_children(sockets: list[socket.socket]) -> None:
    """Forked children must not hold the port: the SDK's heartbeat is one, and outlives a killed worker."""

    def close_all() -> None:
        for listener in sockets:
            listener.close()

    os.register_at_fork(after_in_child=close_all)
