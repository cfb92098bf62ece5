"""/api/memory: which models are in memory, on which tier, what they take; unload, reload and pin them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path

from app.access import Caller, caller_of
from app.api.model_cards import ModelCards, id_of
from app.files import CHECKPOINT, VAE, ModelFile, ModelLibrary
from app.jobs import Jobs

Kind = Literal["checkpoint", "vae"]
TheCaller = Annotated[Caller, Depends(caller_of)]
Id = Annotated[str, Path(max_length=64)]


def memory_router(jobs: Jobs, library: ModelLibrary) -> APIRouter:
    """The routes. Files are named by the ids of /api/models."""
    router = APIRouter(prefix="/api", tags=["models"])
    cards = ModelCards(library)

    @router.get("/memory")
    def memory(caller: TheCaller) -> dict[str, Any]:
        """Models, the one used last first, and tiers, the fastest first; sizes in bytes, no paths."""
        return {**memory_answer(jobs, library), "may_change": caller.admin}

    @router.post("/memory/unload", status_code=202)
    def unload_all(caller: TheCaller) -> dict[str, Any]:
        """All that are not pinned go, once the group in work is done."""
        caller.require_admin()
        jobs.unload()
        return {}

    @router.post("/memory/reload", status_code=202)
    def reload(caller: TheCaller) -> dict[str, Any]:
        """The model used last is loaded again."""
        caller.require_admin()
        jobs.reload()
        return {}

    @router.post("/memory/{kind}/{id}/{what}", status_code=202)
    def change(kind: Kind, id: Id, what: Literal["unload", "pin", "unpin"], caller: TheCaller) -> dict[str, Any]:
        """Lets one file's models go, or keeps them from going."""
        caller.require_admin()
        path = str(cards.find(kind, id).path)
        {"unload": jobs.unload, "pin": jobs.pin, "unpin": jobs.unpin}[what](path)
        return {}

    return router


def memory_answer(jobs: Jobs, library: ModelLibrary) -> dict[str, Any]:
    """What is in memory as JSON. A checkpoint's own VAE has the checkpoint's file, and so its id."""
    files: dict[str, ModelFile] = {str(file.path): file for kind in (VAE, CHECKPOINT) for file in library.list(kind)}
    now = jobs.models_in_memory()
    models = []
    for model in now.models:
        file = files.get(model.path)
        told = {name: value for name, value in model._asdict().items() if name != "path"}
        told |= {"tier": model.tier, "file_kind": file.kind if file else None, "id": id_of(file) if file else None}
        models.append(told)
    return {"models": models, "tiers": [tier._asdict() for tier in now.tiers]}
