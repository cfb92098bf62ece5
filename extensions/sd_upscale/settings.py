"""What SD upscale can be asked for, and the pictures that it makes of a request. No torch."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from app.extension_api import Control, GenerationRequest, InvalidField, Part, Script

NAME = "sd_upscale"
NO_UPSCALER = "None"
LARGEST_SEED = 2**64 - 1


class SDUpscale(BaseModel):
    """The form's width and height are the tile's."""

    model_config = ConfigDict(title="SD upscale", frozen=True, extra="forbid", allow_inf_nan=False)
    TABS: ClassVar[tuple[str, ...]] = ("img2img",)
    MENU_SCRIPTS: ClassVar[tuple[Script, ...]] = (Script("SD upscale", (None, "overlap", "upscaler", "scale_factor")),)

    overlap: Annotated[
        int,
        Field(ge=0, le=2048),
        Control(
            "Tile overlap",
            "pixels; tiles have the width and height above",
            0,
            256,
            16,
            infotext="SD upscale overlap",
        ),
    ] = 64
    scale_factor: Annotated[
        float, Field(ge=1, le=16), Control("Scale Factor", "", 1, 4, 0.05, infotext="SD upscale factor")
    ] = 2.0
    upscaler: Annotated[
        str,
        Control(
            "Upscaler",
            "None: the size stays, and the picture is redrawn in tiles",
            choices="upscalers",
            infotext="SD upscale upscaler",
            change_cost=1,
        ),
    ] = NO_UPSCALER

    @field_validator("upscaler", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        if isinstance(value, int) and not isinstance(value, bool):
            raise ValueError(f"it is {value}, a place in a list; say its name")
        return value or NO_UPSCALER


def values_of(request: GenerationRequest) -> SDUpscale:
    """What a request that names SD upscale asks of it."""
    return SDUpscale.model_validate(request.extensions[NAME])


def pictures(request: GenerationRequest) -> list[Part]:
    """Batch count times a large picture of each picture given, each with the next seed.

    Raises InvalidField where there is no picture, or a mask, or tiles that are all overlap.
    """
    overlap = values_of(request).overlap
    if not request.init_images:
        raise InvalidField("SD upscale redraws a picture, and none is given.", hint="Use it in img2img.")
    if request.mask is not None:
        raise InvalidField("SD upscale redraws whole pictures.", hint="Take the mask away, or choose another script.")
    if overlap >= min(request.width, request.height):
        raise InvalidField(
            f"Tiles of {request.width}x{request.height} cannot overlap by {overlap} pixels.",
            field="overlap",
            hint="Make the overlap smaller, or width and height larger.",
        )
    parts: list[Part] = []
    for _ in range(request.batch_count):
        for picture in request.init_images:
            seed = (request.seed + len(parts)) % (LARGEST_SEED + 1)
            changes = {"init_images": (picture,), "seed": seed, "batch_count": 1}
            parts.append(Part(request.model_copy(update=changes), batch=len(parts)))
    return parts
