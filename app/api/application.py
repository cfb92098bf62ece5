"""The HTTP application that all is added to: rules of access, errors, timing, offline docs."""

from __future__ import annotations

import time
from pathlib import Path

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import __version__
from app.access import Access, guard
from app.api.errors import install_error_handlers

_DOCS = Path(__file__).with_name("docs.html")


def create_application(access: Access) -> FastAPI:
    """An application without routes but /docs and /openapi.json, which needs nothing from another machine."""
    app = FastAPI(title="Easel", version=__version__, docs_url=None, redoc_url=None)
    install_error_handlers(app)
    guard(app, access)
    app.add_middleware(ProcessTime)

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(_DOCS.read_text(encoding="utf-8"))

    return app


class ProcessTime:
    """Adds X-Process-Time, in seconds until the answer began, as A1111 does."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def send_with_time(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Process-Time"] = f"{time.perf_counter() - began:.4f}"
            await send(message)

        await self._app(scope, receive, send_with_time)
