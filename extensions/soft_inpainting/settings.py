"""What soft inpainting can be asked for: A1111's six numbers under its labels, ranges and infotext keys. No torch."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from app.extension_api import Control, GenerationRequest

NAME = "soft_inpainting"


class SoftInpainting(BaseModel):
    """A1111's settings of that name; 12.3 of its facts.

    bias, strength: the mask counts as mask ^ (sigma ^ bias * strength), so that a larger bias keeps more of the picture
    in early steps, a larger strength in all. contrast: how much detail half-kept places have. influence: the mask's
    share in what is put back at the end. threshold: how far a latent has moved that is put back by half.
    difference_contrast: how sharp that border is.
    """

    model_config = ConfigDict(title="Soft inpainting", frozen=True, extra="forbid", allow_inf_nan=False)
    TABS: ClassVar[tuple[str, ...]] = ("inpaint",)
    SCRIPT: ClassVar[str] = "soft inpainting"

    enabled: Annotated[bool, Control("Soft inpainting", infotext="Soft inpainting enabled", holds="switch")] = True
    bias: Annotated[
        float,
        Field(ge=0, le=8),
        Control(
            "Schedule bias",
            "larger: early steps keep more of the picture",
            0,
            8,
            0.1,
            infotext="Soft inpainting schedule bias",
        ),
    ] = 1.0
    strength: Annotated[
        float,
        Field(ge=0, le=8),
        Control(
            "Preservation strength",
            "larger: half-masked places keep more of the picture",
            0,
            8,
            0.05,
            infotext="Soft inpainting preservation strength",
        ),
    ] = 0.5
    contrast: Annotated[
        float,
        Field(ge=1, le=32),
        Control(
            "Transition contrast boost",
            "larger: more detail where old and new meet",
            1,
            32,
            0.5,
            infotext="Soft inpainting transition contrast boost",
        ),
    ] = 4.0
    influence: Annotated[
        float,
        Field(ge=0, le=1),
        Control(
            "Mask influence",
            "share of the mask in what is put back at the end",
            0,
            1,
            0.05,
            infotext="Soft inpainting mask influence",
        ),
    ] = 0.0
    threshold: Annotated[
        float,
        Field(ge=0, le=8),
        Control(
            "Difference threshold",
            "larger: places that changed more are put back, too",
            0,
            8,
            0.25,
            infotext="Soft inpainting difference threshold",
        ),
    ] = 0.5
    difference_contrast: Annotated[
        float,
        Field(ge=0, le=8),
        Control(
            "Difference contrast",
            "larger: a sharper border between what is put back and what is new",
            0,
            8,
            0.25,
            infotext="Soft inpainting difference contrast",
        ),
    ] = 2.0


def values_of(request: GenerationRequest) -> SoftInpainting:
    """What a request that names it asks of it."""
    return SoftInpainting.model_validate(request.extensions[NAME])
