"""Refuses connections and name look-ups beyond this machine, in this process, while it is entered."""

from __future__ import annotations

import ipaddress
import sys
from typing import Any

WATCHED = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")


class NetworkUsed(OSError):
    """Something tried to reach another machine."""


class NetworkGuard:
    """A context manager over an audit hook; Python keeps hooks for good, so it is added once and switched."""

    def __init__(self) -> None:
        self._depth = 0
        self._added = False
        self._tried: list[str] = []

    def __enter__(self) -> list[str]:
        if not self._added:
            sys.addaudithook(self._audit)
            self._added = True
        if self._depth == 0:
            self._tried = []
        self._depth += 1
        return self._tried

    def __exit__(self, *_: object) -> None:
        self._depth -= 1

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._depth == 0 or event not in WATCHED:
            return
        host = _host(event, arguments)
        if host is not None and not is_this_machine(host):
            self._tried.append(host)
            raise NetworkUsed(f"{event} to {host}: tests and the start of the program use no network")


def is_this_machine(host: str) -> bool:
    """Whether a host name or address stays on this machine ("" and wildcards are for listening)."""
    if host in ("", "localhost", "localhost.localdomain"):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _host(event: str, arguments: tuple[Any, ...]) -> str | None:
    """The host an audit event speaks of; None for a socket that is a file."""
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        return str(address[0]) if isinstance(address, tuple) else None
    host = arguments[0]
    if host is None:
        return None
    return host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)


GUARD = NetworkGuard()
