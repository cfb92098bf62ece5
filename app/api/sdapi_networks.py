"""A1111's routes for networks and for models in memory: loras, embeddings, hypernetworks, refresh, unload, reload."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter

from app.api.model_cards import unfitting
from app.files import EMBEDDING, HYPERNETWORK, LORA, EmbeddingFacts, ModelFile, ModelLibrary
from app.jobs import Jobs, Resolver
from app.schema.errors import EaselError

# Covers of megabytes, which A1111 keeps out as well.
_LEFT_OUT = frozenset({"ssmd_cover_images", "modelspec.thumbnail"})


def networks_router(jobs: Jobs, library: ModelLibrary, resolver: Resolver) -> APIRouter:
    """The routes. Files that cannot be used are not in these lists; /api/models tells why."""
    router = APIRouter(prefix="/sdapi/v1", tags=["sdapi"])

    def usable(kind: str) -> list[ModelFile]:
        return [file for file in library.list(kind) if file.problem is None]

    @router.get("/loras")
    def loras() -> list[dict[str, Any]]:
        return [lora_item(file, library) for file in usable(LORA)]

    @router.get("/embeddings")
    def embeddings() -> dict[str, dict[str, Any]]:
        try:
            chosen = resolver.checkpoint("")
        except EaselError:
            chosen = None
        answer: dict[str, dict[str, Any]] = {"loaded": {}, "skipped": {}}
        for file in usable(EMBEDDING):
            answer["skipped" if unfitting(file, chosen) else "loaded"].setdefault(file.word, embedding_item(file))
        return answer

    @router.get("/hypernetworks")
    def hypernetworks() -> list[dict[str, Any]]:
        return [{"name": file.stem, "path": str(file.path)} for file in usable(HYPERNETWORK)]

    @router.post("/refresh-loras")
    def refresh_loras() -> None:
        library.refresh(LORA)

    @router.post("/refresh-embeddings")
    def refresh_embeddings() -> None:
        library.refresh(EMBEDDING)

    @router.post("/unload-checkpoint")
    def unload_checkpoint() -> dict[str, Any]:
        """Everything that is not pinned leaves the memory; jobs in work load again what they need."""
        jobs.unload()
        return {}

    @router.post("/reload-checkpoint")
    def reload_checkpoint() -> dict[str, Any]:
        jobs.reload()
        return {}

    return router


def lora_item(file: ModelFile, library: ModelLibrary) -> dict[str, Any]:
    """A LoRA as A1111 lists it; JSON inside its metadata is unpacked."""
    try:
        metadata = library.metadata(file) or file.metadata
    except EaselError:  # it was changed since the scan: what was known then
        metadata = file.metadata
    return {
        "name": file.stem,
        "alias": file.alias,
        "path": str(file.path),
        "metadata": {key: _unpacked(value) for key, value in metadata.items() if key not in _LEFT_OUT},
    }


def embedding_item(file: ModelFile) -> dict[str, Any]:
    """An embedding as A1111 lists it. shape: width of a vector, of both text encoders together for SDXL."""
    said: Mapping[str, str] = file.metadata
    facts = file.summary.network if isinstance(file.summary.network, EmbeddingFacts) else None
    step = said.get("step", "")
    return {
        "step": int(step) if step.isdecimal() else None,
        "sd_checkpoint": said.get("sd_checkpoint") or None,
        "sd_checkpoint_name": said.get("sd_checkpoint_name") or None,
        "shape": sum(facts.widths) if facts else None,
        "vectors": facts.vectors if facts else None,
    }


def _unpacked(value: str) -> Any:
    if not value.startswith("{"):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
