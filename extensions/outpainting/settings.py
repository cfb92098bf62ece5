"""What outpainting can be asked for. No torch."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from app.extension_api import Control, GenerationRequest, Script

NAME = "outpainting"
SHAPED_NOISE = "shaped noise"

Direction = Literal["left", "right", "up", "down"]
Fill = Literal["shaped noise", "fill", "original", "latent noise", "latent nothing"]


class Outpainting(BaseModel):
    """pixels: on each chosen side. fill: what the new part holds before it is drawn; 'original' stretches the edge.

    falloff: exponent of the noise's spectrum; variation: share of the noise in which the colours differ.
    """

    model_config = ConfigDict(title="Outpainting", frozen=True, extra="forbid", allow_inf_nan=False)
    TABS: ClassVar[tuple[str, ...]] = ("img2img", "inpaint")
    OWN_MASK: ClassVar[bool] = True
    MENU_SCRIPTS: ClassVar[tuple[Script, ...]] = (
        Script("Outpainting mk2", (None, "pixels", "mask_blur", "directions", "falloff", "color_variation")),
        Script("Poor man's outpainting", ("pixels", "mask_blur", "fill", "directions")),
    )

    pixels: Annotated[
        int,
        Field(ge=8, le=4096),
        Control("Pixels to expand", "on each side", 8, 256, 8, infotext="Outpainting pixels"),
    ] = 128
    mask_blur: Annotated[
        int,
        Field(ge=0, le=64),
        Control("Mask blur", "how wide the seam is, outside the picture", 0, 64, 1, infotext="Outpainting mask blur"),
    ] = 8
    fill: Annotated[
        Fill,
        Control(
            "Masked content",
            "what the new part begins with; shaped noise looks like the picture's own texture",
            infotext="Outpainting fill",
        ),
    ] = SHAPED_NOISE
    directions: Annotated[tuple[Direction, ...], Control("Outpainting direction")] = ("left", "right", "up", "down")
    falloff: Annotated[
        float,
        Field(ge=0, le=4),
        Control(
            "Fall-off exponent (lower=higher detail)", "of shaped noise", 0, 4, 0.01, infotext="Outpainting falloff"
        ),
    ] = 1.0
    color_variation: Annotated[
        float,
        Field(ge=0, le=1),
        Control("Color variation", "of shaped noise", 0, 1, 0.01, infotext="Outpainting color variation"),
    ] = 0.05

    @field_validator("directions")
    @classmethod
    def _somewhere(cls, value: tuple[Direction, ...]) -> tuple[Direction, ...]:
        if not value:
            raise ValueError("no direction is chosen; choose at least one side")
        return tuple(dict.fromkeys(value))


def values_of(request: GenerationRequest) -> Outpainting:
    """What a request that names outpainting asks of it."""
    return Outpainting.model_validate(request.extensions[NAME])
