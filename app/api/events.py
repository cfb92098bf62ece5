"""/api/jobs/{id}/events: a job's events as server-sent events, replayed after a lost connection.

State events carry ids; Progress and Preview carry none, so that a reconnect asks again from the last state.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Header
from starlette.responses import Response, StreamingResponse

from app.access import Caller, caller_of
from app.jobs import AsyncWatch, Jobs, Told

LARGEST_ID = 2**63 - 1
"""Of a row in SQLite."""
HEARTBEAT = 15.0
"""Seconds of silence after which a comment is sent, so that proxies keep the connection."""


def events_router(jobs: Jobs, heartbeat: float = HEARTBEAT) -> APIRouter:
    """The route."""
    router = APIRouter(prefix="/api", tags=["jobs"])

    @router.get("/jobs/{id}/events", response_class=StreamingResponse)
    async def events(
        id: str,
        caller: Annotated[Caller, Depends(caller_of)],
        last_event_id: Annotated[str | None, Header()] = None,
        after: int = 0,
        previews: bool = True,
    ) -> Response:
        """Everything that happened to a job and will happen, until it is over; 204 when all of it is known."""
        last = int(last_event_id) if last_event_id and last_event_id.isdecimal() else after
        last = max(0, min(last, LARGEST_ID))
        if jobs.get(id, caller.scope).over and not jobs.stored_events(id, last):
            return Response(status_code=204)  # ends the reconnecting of a browser's EventSource

        def watch() -> AsyncWatch:
            return jobs.watch_async(id, last, previews=previews)

        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        return StreamingResponse(event_stream(watch, heartbeat), 200, headers, "text/event-stream")

    return router


async def event_stream(open_watch: Callable[[], AsyncWatch], heartbeat: float) -> AsyncIterator[str]:
    """The texts of a watch's events to the last one, with a comment after each silence of `heartbeat` seconds."""
    with open_watch() as watch:
        yield "retry: 1000\n\n"
        while not watch.over:
            news = await watch.take(heartbeat)
            yield "".join(map(event_text, news)) or ": still here\n\n"


def event_text(told: Told) -> str:
    """One event in the format of server-sent events."""
    number = "" if told.id is None else f"id: {told.id}\n"
    return f"{number}event: {told.event.kind}\ndata: {told.event.model_dump_json()}\n\n"
