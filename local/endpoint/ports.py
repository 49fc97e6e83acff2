"""Listening sockets."""

import errno
import os
import socket
from typing import Any


class PortTaken(OSError):
    """Another program listens on the port."""


def listen(host: str, port: int) -> list[socket.socket]:
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
