"""What face restoration can be asked for. No torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from app.extension_api import Control, GenerationRequest

NAME = "face_restoration"


class FaceRestoration(BaseModel):
    """model: a face restorer by name or file. visibility: how much of the restored faces shows."""

    model_config = ConfigDict(title="Face restoration", frozen=True, extra="forbid", allow_inf_nan=False)

    model: Annotated[
        str,
        Control(
            "Face restorer",
            "GFPGAN: its newest file in models/GFPGAN",
            choices="face_restorers",
            api="face_restoration_model",
            infotext="Face restoration",
            change_cost=1,
        ),
    ] = "GFPGAN"
    visibility: Annotated[
        float,
        Field(ge=0, le=1),
        Control("Visibility", "how much of the restored faces shows", 0, 1, 0.01, None, None, "Face visibility"),
    ] = 1.0
    save_before: Annotated[
        bool,
        Control(
            "Save the picture before, too",
            "beside the picture",
            api="save_images_before_face_restoration",
            holds="saving",
        ),
    ] = False


def values_of(request: GenerationRequest) -> FaceRestoration:
    """What a request that names it asks of it."""
    return FaceRestoration.model_validate(request.extensions[NAME])
