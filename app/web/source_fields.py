"""Source fields: what the source panel's script says of pictures, mask and size, as fields of a request, checked."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.schema.errors import ImageMissing, InvalidField
from app.schema.picture_fields import PictureHash

Pixels = Annotated[int, Field(ge=1, le=100_000)]


class Source(BaseModel):
    """pictures: hashes of what is redrawn. mask: hash, None for all of it. size: (width, height) in place of the
    form's, from "Resize by". problem, field: why there is nothing to send, and which part of the panel it is about."""

    model_config = ConfigDict(extra="forbid")

    pictures: list[PictureHash] = []
    mask: PictureHash | None = None
    size: tuple[Pixels, Pixels] | None = None
    problem: str = ""
    field: str = "init_images"


def read_source(text: str) -> dict[str, Any]:
    """Fields of the request. Raises ImageMissing without a picture, InvalidField for what the panel found wrong."""
    try:
        source = Source.model_validate_json(text or "{}")
    except ValidationError:
        raise InvalidField(
            "The picture's place on the page sent what cannot be read.", hint="Reload the page."
        ) from None
    if source.problem:
        raise InvalidField(source.problem, field=source.field)
    if not source.pictures:
        raise ImageMissing(
            "There is no picture to redraw yet.", field="init_images", hint="Choose one, or drop it here."
        )
    fields: dict[str, Any] = {"init_images": source.pictures, "mask": source.mask}
    if source.size is not None:
        fields["width"], fields["height"] = (max(8, side // 8 * 8) for side in source.size)
    return fields
