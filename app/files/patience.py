"""Patience: how long a download waits for a server, and how it is stopped meanwhile from another thread."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any


class Interrupted(Exception):
    """The connection ended early or the server is busy: worth another try. after: seconds that the server asks for."""

    def __init__(self, reason: str, after: float = 0.0) -> None:
        super().__init__(reason)
        self.after = after


class Stopped(Exception):
    """The download was asked to stop."""


@dataclass(frozen=True)
class Patience:
    """Time limits in seconds. slowest: bytes per second over `window` below which a server is given up.

    tries: failures in a row, without 1 MiB more than ever before, until the download has failed. pause: before the
    second try, doubled with each.
    """

    connect: float = 15.0
    answer: float = 60.0
    silence: float = 30.0
    window: float = 60.0
    slowest: float = 1024.0
    tries: int = 6
    pause: float = 1.0
    longest_pause: float = 120.0


class Stop:
    """Asks a transfer to end, from any thread, by cutting its connection: nobody waits for a silent server."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    @property
    def asked(self) -> bool:
        return self._event.is_set()

    def ask(self) -> None:
        self._event.set()
        self.cut()

    def pause(self, seconds: float) -> None:
        """Wait; raises Stopped at once when asked to stop."""
        if self._event.wait(seconds):
            raise Stopped

    def cut(self) -> None:
        """End the connection, whatever is being waited for."""
        with self._lock:
            if self._socket is not None:
                with suppress(OSError):
                    # The plain socket's method: that of TLS is not safe beside a read in another thread.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def watch(self, event: str, info: Mapping[str, Any]) -> None:
        """httpx's trace: notes the connection of this request."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            with self._lock:
                self._socket = info["return_value"].get_extra_info("socket")
            if self.asked:
                self.cut()
