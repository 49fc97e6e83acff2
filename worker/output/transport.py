"""HTTP to a bucket in botocore's place: pinned addresses, no redirects, short answers, and an end when it is told so.

botocore follows a store's redirects for ever, signs anew for the region of a store's hint and keeps that to itself,
reads an answer of any length, and cannot end a read that trickles.
"""

import contextlib
import os
import re
import socket
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from botocore.awsrequest import AWSHTTPConnectionPool, AWSHTTPSConnectionPool, AWSPreparedRequest, AWSRequest
from botocore.exceptions import ResponseStreamingError
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies
from urllib3.exceptions import HTTPError

from worker.config import Bucket

LONGEST_ANSWER = 256 * 1024
"""Bytes: S3's answers to what an upload asks have some hundreds."""
CONNECT_SECONDS, SOCKET_SECONDS = 10.0, 30.0
_TRY_AGAIN = ("RequestTimeout", "SlowDown", "Throttling", "RequestThrottled", "OperationAborted")
_REGION = re.compile(r"<Region>([a-z0-9-]{1,40})</Region>|expecting '([a-z0-9-]{1,40})'")


@dataclass
class Refused(Exception):
    """A store's answer that no repetition changes."""

    status: int
    code: str
    """S3's word for it, as the store has it; may be anything, or empty."""
    region: str
    """The region that the store wants requests to be signed for; empty where it does not say."""
    location: str
    """Scheme and host of a redirect; empty: it is none."""


class Transport(URLLib3Session):  # type: ignore[misc]  # botocore has no types
    """A handler for botocore's `before-send`, one for each upload. Thread-safe."""

    def __init__(self, bucket: Bucket, connections: int) -> None:
        """`bucket.addresses`: what to dial, whatever the host resolves to by then; empty: what it resolves to."""
        timeout = (min(CONNECT_SECONDS, bucket.timeout), min(SOCKET_SECONDS, bucket.timeout))
        proxies = {} if bucket.addresses else get_environ_proxies(bucket.endpoint)
        super().__init__(timeout=timeout, max_pool_connections=connections, proxies=proxies)
        self._addresses = bucket.addresses
        self._open: list[socket.socket] = []
        self._lock, self._closed = threading.Lock(), False
        pools = {"http": AWSHTTPConnectionPool, "https": AWSHTTPSConnectionPool}
        self._manager.pool_classes_by_scheme = {name: _dialed_by(self._dial, pool) for name, pool in pools.items()}

    def __call__(self, request: AWSPreparedRequest, **_: Any) -> Any:
        """Botocore's answer to `request`; raises Refused, and botocore's own errors, which it tries again."""
        request.stream_output = True
        response = self.send(request)
        response._content = self._read(response.raw, LONGEST_ANSWER)
        if 300 <= response.status_code < 500:
            refusal = _explain(response)
            if not refusal.code.startswith(_TRY_AGAIN) and response.status_code != 429:
                raise refusal
        return response

    def first_byte(self, url: str) -> bytes:
        """The first byte behind `url`, for a caller who holds no key; raises Refused."""
        request = AWSRequest("GET", url, headers={"Range": "bytes=0-0"}).prepare()
        request.stream_output = True
        response = self.send(request)
        if response.status_code not in {200, 206}:
            response._content = self._read(response.raw, LONGEST_ANSWER)
            raise _explain(response)
        return self._read(response.raw, 1)

    def close(self) -> None:
        """End what is under way, at once, and refuse what comes later."""
        with self._lock:
            self._closed, held, self._open = True, self._open, []
        for connection in held:
            with contextlib.suppress(OSError):  # it has ended by itself
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        super().close()

    def _dial(self, connection: Any, connect: Callable[[], socket.socket]) -> socket.socket:
        """A socket for `connection`, whose host stays the name for TLS and for the request."""
        host = connection._dns_host
        *others, last = self._addresses or (host,)
        try:
            for address in others:
                connection._dns_host = address
                with contextlib.suppress(HTTPError, OSError):  # the next one may be reached
                    return self._hold(connect())
            connection._dns_host = last
            return self._hold(connect())
        finally:
            connection._dns_host = host

    def _hold(self, opened: socket.socket) -> socket.socket:
        with self._lock:
            if self._closed:
                opened.close()
                raise CancelledError  # the one exception that botocore neither wraps nor tries again
            self._open.append(socket.socket(fileno=os.dup(opened.fileno())))  # TLS takes the other one away
        return opened

    @staticmethod
    def _read(raw: Any, most: int) -> bytes:
        """At most so many bytes of an answer; the rest is left, and the connection with it."""
        try:
            data: bytes = raw.read(most, decode_content=False)
            if raw.read(1, decode_content=False):
                raw.close()
            return data
        except (HTTPError, OSError, ValueError) as error:
            raise ResponseStreamingError(error=error) from error
        finally:
            raw.release_conn()


def _dialed_by(dial: Callable[..., socket.socket], pool: Any) -> Any:
    """That kind of pool, with connections that `dial` opens."""

    class Connection(pool.ConnectionCls):  # type: ignore[misc]
        def _new_conn(self) -> socket.socket:
            return dial(self, super()._new_conn)

    class Pool(pool):  # type: ignore[misc]
        ConnectionCls = Connection

        def urlopen(self, *arguments: Any, **options: Any) -> Any:
            return super().urlopen(*arguments, **options, redirect=False)

    return Pool


def _explain(response: Any) -> Refused:
    text = response.content.decode("utf-8", "replace")
    code = re.search(r"<Code>(.*?)</Code>", text)
    hint = _REGION.search(text)
    region = response.headers.get("x-amz-bucket-region") or (hint and (hint[1] or hint[2])) or ""
    return Refused(response.status_code, code[1] if code else "", region, _origin(response.headers.get("Location")))


def _origin(location: str | None) -> str:
    """Scheme and host of an address, which may be anything: its path can hold a key."""
    try:
        url = urlsplit(location or "")
        host, port = url.hostname or "", f":{url.port}" if url.port else ""
    except ValueError:
        return ""
    sound = url.scheme in {"http", "https"} and re.fullmatch(r"[\w.-]{1,253}", host)
    return f"{url.scheme}://{host}{port}" if sound else ""
