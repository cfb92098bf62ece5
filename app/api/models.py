"""/api/models: the library's files of every kind; of unusable ones also the reason."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from app.files import CHECKPOINT, KINDS, ModelFile, ModelLibrary

Kind = Literal[KINDS]  # type: ignore[valid-type]


def models_router(library: ModelLibrary) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/api", tags=["models"])

    @router.get("/models")
    def models(kind: Annotated[Kind, Query()] = CHECKPOINT) -> dict[str, Any]:
        """The files of a kind in the order of the page."""
        return {"models": [model_answer(file) for file in library.list(kind)]}

    @router.post("/models/refresh")
    def refresh(kind: Annotated[Kind | None, Query()] = None) -> dict[str, Any]:
        """Scans the folders of a kind again, or all of them."""
        library.refresh(kind)
        return {}

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
