"""/api/downloads: models from repositories and addresses, for the administrator alone."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse

from app.access import Caller, caller_of
from app.files import KINDS, Download, Downloads

Kind = Literal[KINDS]  # type: ignore[valid-type]
Text = Annotated[str, Field(max_length=4000)]


def administrator(caller: Annotated[Caller, Depends(caller_of)]) -> None:
    """Lets the administrator pass. Raises Forbidden."""
    caller.require_admin()


class Wish(BaseModel):
    """What is to be downloaded. file: which one of a repository. kind: null for what the content says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Text
    file: Text = ""
    kind: Kind | None = None
    sha256: Text | None = None
    token: Annotated[Text | None, Field(repr=False)] = None


class Place(BaseModel):
    """Where to look. In a body, since addresses and logs keep what stands in a query."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Text
    token: Annotated[Text | None, Field(repr=False)] = None


def downloads_router(downloads: Downloads) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/api", tags=["downloads"], dependencies=[Depends(administrator)])

    @router.post("/downloads", status_code=202)
    def start(wish: Wish) -> JSONResponse:
        """Begins a download, or goes on with an unfinished one of the same source."""
        download = downloads.start(wish.source, file=wish.file, kind=wish.kind, sha256=wish.sha256, token=wish.token)
        return JSONResponse(download_answer(download), 202, {"Location": f"/api/downloads/{download.id}"})

    @router.post("/downloads/files")
    def files(place: Place) -> dict[str, Any]:
        """The models in a repository or in a version of civitai's, to choose from."""
        found = downloads.files_in(place.source, token=place.token)
        return {"files": [{"file": one.path, "size": one.size, "sha256": one.sha256 or None} for one in found]}

    @router.get("/downloads")
    def all_of_them(limit: Annotated[int, Query(ge=1, le=500)] = 100) -> dict[str, Any]:
        """The newest first."""
        return {"downloads": [download_answer(one) for one in reversed(downloads.list()[-limit:])]}

    @router.get("/downloads/{id}")
    def one(id: str) -> dict[str, Any]:
        """One of them as it is now."""
        return download_answer(downloads.get(id))

    @router.delete("/downloads/{id}")
    def cancel(id: str) -> dict[str, Any]:
        """Ends a download and throws away what has come; one that is over is taken from the list."""
        return download_answer(downloads.cancel(id))

    return router


def download_answer(download: Download) -> dict[str, Any]:
    """A download as JSON; no path of this machine. received, total: bytes. speed: bytes per second. eta: seconds."""
    failed = {"code": download.code, "message": download.message, "hint": download.hint}
    return {
        "id": download.id,
        "state": download.state,
        "source": download.source,
        "file": download.file,
        "kind": download.kind or None,
        "name": download.name,
        "sha256": download.sha256 or None,
        "received": download.received,
        "total": download.total,
        "speed": round(download.speed),
        "eta": download.eta,
        "remark": "" if download.code else download.message,
        "error": failed if download.code else None,
        "begun": download.begun,
        "ended": download.ended or None,
    }
