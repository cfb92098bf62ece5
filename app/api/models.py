"""/api/models: the library's files of every kind, as lists and as pages of cards; of unusable ones also the reason.

Files are named by ids of the library, never by paths, so that nothing outside the model folders can be asked for.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import FileResponse, Response

from app.access import Caller, caller_of
from app.api.model_cards import MOST_ON_A_PAGE, ModelCards, Sort
from app.api.model_details import details_of
from app.files import (
    CHECKPOINT,
    KINDS,
    PREVIEW_ENDINGS,
    ModelFile,
    ModelLibrary,
    Thumbnails,
    write_preview,
    write_user_metadata,
)
from app.jobs import Jobs
from app.schema.errors import Forbidden

Kind = Literal[KINDS]  # type: ignore[valid-type]
TheCaller = Annotated[Caller, Depends(caller_of)]

Text = Annotated[str | None, Field(max_length=100_000)]

Fit = Callable[[ModelFile, ModelFile], Mapping[str, Any]]
"""A network, a checkpoint -> matched, total, parts (what is counted), unmatched (names). Raises EaselError."""

_MOST_NAMES = 1000
_FOR_EVER = {"Cache-Control": "private, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}


class UserMetadata(BaseModel):
    """Fields of A1111's `<stem>.json`; those left out stay as they are, null takes one out."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    description: Text = None
    notes: Text = None
    activation_text: Annotated[Text, Field(alias="activation text")] = None
    preferred_weight: Annotated[float | None, Field(alias="preferred weight", ge=-10, le=10)] = None
    negative_text: Annotated[Text, Field(alias="negative text")] = None
    sd_version: Annotated[Literal["SD1", "SD2", "SDXL", "Unknown", ""] | None, Field(alias="sd version")] = None
    vae: Text = None


class PictureOfJob(BaseModel):
    """Which picture becomes a preview: one of the caller's own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    job: str
    index: Annotated[int, Field(ge=0)]


def models_router(library: ModelLibrary, jobs: Jobs, thumbnails: Thumbnails, fit: Fit) -> APIRouter:
    """The routes. fit: tells how much of a network a checkpoint would use."""
    router = APIRouter(prefix="/api", tags=["models"])
    cards = ModelCards(library)

    @router.get("/models")
    def models(kind: Annotated[Kind, Query()] = CHECKPOINT) -> dict[str, Any]:
        """The files of a kind in the order of the page."""
        return {"models": [model_answer(file) for file in library.list(kind)]}

    @router.post("/models/refresh")
    def refresh(kind: Annotated[Kind | None, Query()] = None) -> dict[str, Any]:
        """Scans the folders of a kind again, or all of them."""
        library.refresh(kind)
        return {}

    @router.get("/models/{kind}")
    def page(
        kind: Kind,
        search: Annotated[str, Query(max_length=500)] = "",
        folder: Annotated[str, Query(max_length=1000)] = "",
        sort: Sort = "path",
        descending: bool = False,
        page: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
        size: Annotated[int, Query(ge=1, le=MOST_ON_A_PAGE)] = 100,
        checkpoint: Annotated[str, Query(max_length=1000)] = "",
    ) -> dict[str, Any]:
        """One page of a kind's cards; those that do not fit the checkpoint say why."""
        return cards.page(
            kind,
            search=search,
            folder=folder,
            sort=sort,
            descending=descending,
            page=page,
            size=size,
            checkpoint=checkpoint,
        )

    @router.get("/models/{kind}/{id}")
    def details(kind: Kind, id: str, checkpoint: Annotated[str, Query(max_length=1000)] = "") -> dict[str, Any]:
        """All that is known of one file; its hash is begun where it is not known."""
        file = cards.find(kind, id)
        if file.sha256 is None and file.problem is None and not file.folder:
            library.hash_later(file)
        return {**cards.one(kind, id, checkpoint), **details_of(file, library)}

    @router.get("/models/{kind}/{id}/fit")
    def fitting(
        kind: Literal["lora", "embedding", "hypernetwork"],
        id: str,
        checkpoint: Annotated[str, Query(min_length=1, max_length=1000)],
    ) -> dict[str, Any]:
        """How many of a network's parts a checkpoint has a place for, and the names of those that it has none for;
        from both files' headers alone."""
        chosen = library.find(checkpoint, CHECKPOINT)
        found = fit(cards.find(kind, id), chosen)
        return {**found, "unmatched": list(found["unmatched"])[:_MOST_NAMES], "checkpoint": chosen.name}

    @router.get("/models/{kind}/{id}/thumbnail")
    async def thumbnail(kind: Kind, id: str) -> Response:
        """The small picture of a card, WebP; 204 for a file without one."""
        path = await asyncio.wrap_future(thumbnails.later(cards.find(kind, id)))
        if path is None:
            return Response(status_code=204, headers=_FOR_EVER)
        return FileResponse(path, media_type="image/webp", headers=_FOR_EVER)

    @router.put("/models/{kind}/{id}/user-metadata")
    def set_user_metadata(kind: Kind, id: str, changes: UserMetadata, caller: TheCaller) -> dict[str, Any]:
        """Writes the given fields into the sidecar beside the file, where A1111 looks for them; answers the card."""
        require_known(caller)
        write_user_metadata(cards.find(kind, id), changes.model_dump(by_alias=True, exclude_unset=True))
        return cards.one(kind, id)

    @router.put("/models/{kind}/{id}/preview")
    def set_preview(kind: Kind, id: str, picture: PictureOfJob, caller: TheCaller) -> dict[str, Any]:
        """Makes one of the caller's pictures the preview of a file; answers the card."""
        require_known(caller)
        file = cards.find(kind, id)
        write_preview(file, *preview_from(jobs.image_file(picture.job, picture.index, caller.scope)))
        return cards.one(kind, id)

    return router


def require_known(caller: Caller) -> None:
    """Raises Forbidden for visitors without a login of a server that others reach: they change no files."""
    if caller.user is None and not caller.sees_all:
        raise Forbidden(
            "Notes and previews are changed by people with a login.",
            hint="Start the server with --gradio-auth, or use it on its own machine.",
        )


def preview_from(path: Path) -> tuple[bytes, str]:
    """A saved picture's bytes and ending, its infotext inside; as PNG where previews know no such ending."""
    if path.suffix.lower() in PREVIEW_ENDINGS:
        return path.read_bytes(), path.suffix.lower()
    with Image.open(path) as picture:
        stream = io.BytesIO()
        picture.convert("RGB").save(stream, "PNG")
    return stream.getvalue(), ".png"


def model_answer(file: ModelFile) -> dict[str, Any]:
    """One file as JSON; no path of this machine."""
    return {
        "kind": file.kind,
        "name": file.name,
        "title": file.title,
        "stem": file.stem,
        "hash": file.short_hash,
        "sha256": file.sha256,
        "family": file.family,
        "variant": file.variant,
        "size": file.size,
        "problem": {"code": file.problem.code, "text": file.problem.text} if file.problem else None,
    }
