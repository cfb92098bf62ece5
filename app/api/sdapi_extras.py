"""A1111's /sdapi/v1/extra-single-image and extra-batch-images, with its fields, defaults and answers."""

from __future__ import annotations

import base64
from html import escape
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from app.api.encoded_picture import decoded_picture
from app.extras import Extras, Given, encoded, words_of
from app.schema.errors import InvalidField
from app.schema.extras import ExtrasRequest, parse_extras
from app.schema.faces import codeformer_refused


class ExtrasFields(BaseModel):
    """A1111's fields (a1111-facts 5.1). null means the default, as its clients send it; unknown fields are ignored."""

    resize_mode: int | None = 0
    show_extras_results: bool | None = True
    gfpgan_visibility: float | None = 0
    codeformer_visibility: float | None = 0
    codeformer_weight: float | None = 0
    upscaling_resize: float | None = 2
    upscaling_resize_w: int | None = 512
    upscaling_resize_h: int | None = 512
    upscaling_crop: bool | None = True
    upscaler_1: str | None = "None"
    upscaler_2: str | None = "None"
    extras_upscaler_2_visibility: float | None = 0
    upscale_first: bool | None = False


class SingleFields(ExtrasFields):
    """image: a picture file in base64."""

    image: str = ""


class NamedPicture(BaseModel):
    """data: a picture file in base64. name: of the file."""

    data: str
    name: str = ""


class BatchFields(ExtrasFields):
    """imageList: the pictures, answered in their order."""

    imageList: list[NamedPicture]


def sdapi_extras_router(extras: Extras) -> APIRouter:
    """The routes. As at A1111's, nothing is saved."""
    router = APIRouter(prefix="/sdapi/v1", tags=["sdapi"])

    @router.post("/extra-single-image")
    def single(fields: SingleFields) -> dict[str, Any]:
        pictures, info = _worked(extras, fields.image, "", request_of(fields))
        return {"html_info": info, "image": pictures[0]}

    @router.post("/extra-batch-images")
    def batch(fields: BatchFields) -> dict[str, Any]:
        request = request_of(fields)
        if not fields.imageList:
            raise InvalidField("There is no picture to work on.", field="imageList")
        worked = [_worked(extras, one.data, one.name, request) for one in fields.imageList]
        return {"html_info": worked[-1][1], "images": [picture for pictures, _ in worked for picture in pictures]}

    @router.get("/face-restorers")
    def face_restorers() -> list[dict[str, Any]]:
        return [{"name": one.name, "cmd_dir": str(one.file.path.parent)} for one in extras.face_restorers()]

    return router


def request_of(fields: ExtrasFields) -> ExtrasRequest:
    """The request behind A1111's fields. Raises InvalidField by its name there, NotServedYet for CodeFormer."""
    if fields.codeformer_visibility:
        raise codeformer_refused("codeformer_visibility")
    told = {name: value for name, value in fields.model_dump().items() if value is not None}
    if told.get("resize_mode", 0) not in (0, 1):
        raise InvalidField("resize_mode is 0 (by a factor) or 1 (to a size).", field="resize_mode")
    values = {ours: told[theirs] for theirs, ours in _NAMES.items() if theirs in told}
    values = {name: (value.strip() or "None") if isinstance(value, str) else value for name, value in values.items()}
    try:
        return parse_extras({**values, "resize": ("by", "to")[told.get("resize_mode", 0)]})
    except InvalidField as problem:
        problem.field = next((theirs for theirs, ours in _NAMES.items() if ours == problem.field), problem.field)
        raise


_NAMES = {
    "upscaling_resize": "factor",
    "upscaling_resize_w": "width",
    "upscaling_resize_h": "height",
    "upscaling_crop": "crop",
    "upscaler_1": "upscaler_1",
    "upscaler_2": "upscaler_2",
    "extras_upscaler_2_visibility": "upscaler_2_visibility",
    "gfpgan_visibility": "gfpgan_visibility",
}


def _worked(extras: Extras, text: str, name: str, request: ExtrasRequest) -> tuple[list[str], str]:
    """The results in base64, and what A1111 says of them as HTML."""
    worked = extras.work(Given(decoded_picture(text), name), request)
    files = [encoded(picture, worked.texts, worked.facts) for picture in worked.pictures]
    said = [words_of(worked.facts), *([worked.notice] if worked.notice else [])]
    return [base64.b64encode(file).decode() for file in files], "".join(f"<p>{escape(text)}</p>" for text in said)
