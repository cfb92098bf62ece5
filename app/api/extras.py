"""/api/extras: runs of Extras: submit, look, cancel, and fetch results, by id."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict
from starlette.responses import FileResponse

from app.access import Caller, caller_of
from app.extras import Extras, ExtrasRun, Source, pictures_in
from app.schema.errors import InvalidField
from app.schema.extras import parse_extras

TheCaller = Annotated[Caller, Depends(caller_of)]


class SentPicture(BaseModel):
    """hash: of a picture that was sent to /api/pictures."""

    hash: str
    name: str = "picture"


class Submitted(BaseModel):
    """pictures: sent before, or folder: on the server's machine, for its administrator alone, with output_folder for
    the results ("": the usual one). request: fields of ExtrasRequest."""

    model_config = ConfigDict(extra="forbid")

    pictures: list[SentPicture] = []
    folder: str = ""
    output_folder: str = ""
    request: dict[str, Any] = {}


def extras_router(extras: Extras) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/api/extras", tags=["extras"])

    @router.post("", status_code=201)
    def submit(submitted: Submitted, caller: TheCaller) -> dict[str, Any]:
        """Stores the run and answers it."""
        request = parse_extras(submitted.request)
        if submitted.folder or submitted.output_folder:
            caller.require_admin()
        sources = [Source(name=PurePath(one.name).name or "picture", hash=one.hash) for one in submitted.pictures]
        if submitted.folder:
            sources += pictures_in(_folder(submitted.folder, "folder"))
        output = str(_folder(submitted.output_folder, "output_folder")) if submitted.output_folder else ""
        return shown(extras.submit(sources, request, caller.owner, output), extras)

    @router.get("")
    def history(caller: TheCaller) -> list[dict[str, Any]]:
        """The newest runs first."""
        return [shown(run, extras) for run in extras.history(caller.scope)]

    @router.get("/upscalers")
    def known() -> dict[str, Any]:
        """What may be chosen, and what is lacking before faces can be restored ("": nothing)."""
        return {"upscalers": extras.upscalers(), "faces": extras.face_restoration_lacks()}

    @router.get("/{id}")
    def look(id: str, caller: TheCaller) -> dict[str, Any]:
        """The run as it is now."""
        return shown(extras.get(id, caller.scope), extras)

    @router.post("/{id}/cancel", status_code=204)
    def cancel(id: str, caller: TheCaller) -> None:
        """Ends it; what is saved stays."""
        extras.cancel(id, caller.scope)

    @router.get("/{id}/pictures/{number}")
    def picture(id: str, number: int, caller: TheCaller) -> FileResponse:
        """The file of a result."""
        path = extras.file(id, number, caller.scope)
        return FileResponse(path, filename=path.name, content_disposition_type="inline")

    return router


def shown(run: ExtrasRun, extras: Extras) -> dict[str, Any]:
    """A run as it is answered. progress: 0 to 1."""
    fraction, words = extras.progress(run.id)
    return {
        "id": run.id,
        "state": run.state,
        "total": len(run.sources),
        "done": run.next,
        "progress": 1.0 if run.over else min((run.next + fraction) / len(run.sources), 1.0),
        "words": "" if run.over else words,
        "pictures": [
            {
                "url": f"api/extras/{run.id}/pictures/{number}",
                "name": PurePath(made.path).name,
                "path": made.path,
                "source": run.sources[made.source].name,
                "width": made.width,
                "height": made.height,
                "info": made.facts,
                "notice": made.notice,
            }
            for number, made in enumerate(run.made)
        ],
        "failures": [{"name": run.sources[one.source].name, "message": one.message} for one in run.failures],
    }


def _folder(text: str, field: str) -> Path:
    folder = Path(text.strip()).expanduser()
    if not folder.is_absolute():
        raise InvalidField("Give the whole path of the folder.", field=field)
    return folder
