"""/api/pictures: pictures and masks that jobs redraw, sent once and named by their hash in requests."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from app.access import Caller, caller_of
from app.api.encoded_picture import LARGEST
from app.files import Blobs
from app.schema.errors import InvalidImage

TheCaller = Annotated[Caller, Depends(caller_of)]
_KINDS = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp", b"GIF8": "image/gif"}


def pictures_router(blobs: Blobs) -> APIRouter:
    """The routes. A hash is a key: who knows it has the picture."""
    router = APIRouter(prefix="/api", tags=["pictures"])

    @router.post("/pictures", status_code=201)
    async def send(request: Request, caller: TheCaller) -> dict[str, Any]:
        """Keeps the body, a picture file, and answers its hash for `init_images` and `mask`."""
        data = bytearray()
        async for part in request.stream():
            data += part
            if len(data) > LARGEST:
                raise InvalidImage(f"The picture is larger than {LARGEST >> 20} MB.", hint="Make it smaller.")
        return {"hash": await run_in_threadpool(blobs.put, bytes(data), field="picture")}

    @router.get("/pictures/{digest}")
    def fetch(digest: str, caller: TheCaller) -> Response:
        """The file as it was sent."""
        data = blobs.read(digest)
        kind = next((kind for start, kind in _KINDS.items() if data.startswith(start)), "application/octet-stream")
        headers = {"Cache-Control": "private, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
        return Response(data, media_type=kind, headers=headers)

    return router
