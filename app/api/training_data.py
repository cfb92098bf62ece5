"""/api/training-data: the pictures of a folder as a training would use them; captions written, pictures dropped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from app.api.downloads import administrator
from app.files.training_pictures import LARGEST, add_picture, drop_folder, thumbnail_of, write_caption
from app.jobs import Trainings
from app.schema.errors import InvalidImage
from app.schema.training import parse_training

DROPS = "training-pictures"


class Caption(BaseModel):
    """A picture's new caption. name: path inside the folder, as the list tells it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Annotated[str, Field(min_length=1, max_length=4000)]
    name: Annotated[str, Field(min_length=1, max_length=4000)]
    caption: Annotated[str, Field(max_length=100_000)]


def training_data_router(trainings: Trainings, data: Path) -> APIRouter:
    """The routes. data: the data folder, from which relative paths are meant; dropped sets of pictures go there."""
    router = APIRouter(prefix="/api/training-data", tags=["training"], dependencies=[Depends(administrator)])

    def place(folder: str) -> Path:
        return data / Path(folder).expanduser()

    @router.post("/pictures")
    def pictures(body: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        """The pictures of a training's data folder: sizes, buckets, crops, captions."""
        found = trainings.pictures(parse_training(body))
        return {"pictures": [one.model_dump(mode="json") for one in found]}

    @router.get("/picture")
    def picture(
        folder: Annotated[str, Query(max_length=4000)], name: Annotated[str, Query(max_length=4000)]
    ) -> Response:
        """A small JPEG of one of them."""
        headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, max-age=300"}
        return Response(thumbnail_of(place(folder), name), media_type="image/jpeg", headers=headers)

    @router.put("/caption")
    def caption(wish: Caption) -> dict[str, Any]:
        """Writes a caption beside its picture."""
        write_caption(place(wish.folder), wish.name, wish.caption)
        return {"name": wish.name, "caption": wish.caption.strip()}

    @router.put("/dropped/{set_name}/{name}")
    async def drop(set_name: str, name: str, request: Request) -> dict[str, Any]:
        """Takes a picture (or a caption) into a set; its folder is what a training's `data` names."""
        taken = bytearray()
        async for part in request.stream():
            taken += part
            if len(taken) > LARGEST:
                raise InvalidImage(f"{name[:60]} is larger than {LARGEST // 1_000_000} MB.")
        folder = drop_folder(data / DROPS, set_name)
        added = await run_in_threadpool(add_picture, folder, name, bytes(taken))
        return {"folder": str(folder), "name": added}

    return router
