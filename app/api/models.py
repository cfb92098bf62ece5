"""/api/models: the library's files of every kind, as lists and as pages of cards; of unusable ones also the reason.

Files are named by ids of the library, never by paths, so that nothing outside the model folders can be asked for.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from starlette.responses import FileResponse, Response

from app.api.model_cards import MOST_ON_A_PAGE, ModelCards, Sort
from app.api.model_details import details_of
from app.files import CHECKPOINT, KINDS, ModelFile, ModelLibrary, Thumbnails

Kind = Literal[KINDS]  # type: ignore[valid-type]

_FOR_EVER = {"Cache-Control": "private, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}


def models_router(library: ModelLibrary, thumbnails: Thumbnails) -> APIRouter:
    """The routes."""
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

    @router.get("/models/{kind}/{id}/thumbnail")
    async def thumbnail(kind: Kind, id: str) -> Response:
        """The small picture of a card, WebP; 204 for a file without one."""
        path = await asyncio.wrap_future(thumbnails.later(cards.find(kind, id)))
        if path is None:
            return Response(status_code=204, headers=_FOR_EVER)
        return FileResponse(path, media_type="image/webp", headers=_FOR_EVER)

    return router


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
