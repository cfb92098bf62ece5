"""A file server on loopback that can be told to break off, to lie about sizes, to redirect and to refuse."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Route:
    """What is answered under one path.

    breaks: after how many bytes of the body each request's connection is closed; later requests get all. length: the
    Content-Length to claim; None for the true one, -1 for none at all. ranges: False ignores Range. gate: the second
    half of the body waits for it.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    breaks: list[int] = field(default_factory=list)
    length: int | None = None
    ranges: bool = True
    gate: threading.Event | None = None


class FileServer:
    """Routes may be changed while it runs. asked: (path, headers) of each request."""

    def __init__(self) -> None:
        self.routes: dict[str, Route] = {}
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        self.halfway = threading.Event()
        routes, asked, halfway = self.routes, self.asked, self.halfway

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                route = routes.get(self.path)
                self.close_connection = True
                if route is None:
                    self.send_error(404)
                    return
                begin, status = 0, route.status
                wanted = self.headers.get("range")
                same = self.headers.get("if-range") in (None, route.headers.get("ETag"))
                if wanted and route.ranges and same and status == 200:
                    begin, status = int(wanted.removeprefix("bytes=").rstrip("-")), 206
                if begin >= len(route.body) and status == 206:
                    status = 416
                self.send_response(status)
                for name, value in route.headers.items():
                    self.send_header(name, value)
                if status == 206:
                    self.send_header("Content-Range", f"bytes {begin}-{len(route.body) - 1}/{len(route.body)}")
                if status == 416:
                    self.send_header("Content-Range", f"bytes */{len(route.body)}")
                body = b"" if status == 416 else route.body[begin:]
                if route.length != -1:
                    self.send_header("Content-Length", str(len(body) if route.length is None else route.length))
                self.end_headers()
                if route.breaks:
                    body = body[: route.breaks.pop(0)]
                half = len(body) // 2 if route.gate else len(body)
                try:
                    self.wfile.write(body[:half])
                    self.wfile.flush()
                    halfway.set()
                    if route.gate:
                        route.gate.wait(20)
                        self.wfile.write(body[half:])
                except OSError:
                    pass  # the client has gone

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        for route in self.routes.values():
            if route.gate is not None:
                route.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def serving() -> Iterator[FileServer]:
    server = FileServer()
    try:
        yield server
    finally:
        server.close()
