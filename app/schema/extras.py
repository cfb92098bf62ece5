"""ExtrasRequest: what is done to finished pictures: made larger, cut, mirrored; one object for page and API."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.schema.choices import NO_UPSCALER
from app.schema.control import Control
from app.schema.errors import InvalidField
from app.schema.problems import first_problem

Share = Field(ge=0, le=1)
Side = Field(ge=1, le=16384)
Mirror = Literal["Horizontal", "Vertical", "Both"]
Captioner = Literal["Deepbooru", "BLIP"]


class ExtrasRequest(BaseModel):
    """Sides and areas in pixels. Faces are restored after the enlargement, as A1111 orders them; the helpers for
    training pictures follow, in the order of the fields.

    most_side: of the result of 'by', 0 for no limit. crop: 'to' covers the size and is cut to it. split: a picture
    whose shorter proportion to the target is at most the threshold is cut into parts that overlap. autosized: cut
    centrally to a size within the bounds whose proportions are near the picture's own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    resize: Literal["by", "to"] = "by"
    factor: Annotated[float, Field(gt=0, le=8), Control("Resize", "", 1, 8, 0.05)] = 4.0
    most_side: Annotated[int, Field(ge=0, le=65535), Control("Max side length", "0: no limit")] = 0
    width: Annotated[int, Side, Control("Width", "", 64, 8192, 8)] = 512
    height: Annotated[int, Side, Control("Height", "", 64, 8192, 8)] = 512
    crop: Annotated[bool, Control("Crop to fit")] = True
    upscaler_1: Annotated[str, Control("Upscaler 1", choices="upscalers")] = NO_UPSCALER
    upscaler_2: Annotated[str, Control("Upscaler 2", choices="upscalers")] = NO_UPSCALER
    upscaler_2_visibility: Annotated[float, Share, Control("Upscaler 2 visibility", "", 0, 1, 0.001)] = 0.0
    gfpgan_visibility: Annotated[
        float, Share, Control("GFPGAN visibility", "how much of the restored faces shows; 0: off", 0, 1, 0.001)
    ] = 0.0
    target_width: Annotated[int, Side, Control("Width of the parts", "", 64, 2048, 8)] = 512
    target_height: Annotated[int, Side, Control("Height of the parts", "", 64, 2048, 8)] = 512
    split: Annotated[bool, Control("Split oversized images")] = False
    split_threshold: Annotated[float, Share, Control("Threshold", "", 0, 1, 0.05)] = 0.5
    split_overlap: Annotated[float, Field(ge=0, le=0.9), Control("Overlap ratio", "", 0, 0.9, 0.05)] = 0.2
    focal_crop: Annotated[bool, Control("Auto focal point crop")] = False
    focal_entropy: Annotated[float, Share, Control("Focal point entropy weight", "", 0, 1, 0.05)] = 0.15
    focal_edges: Annotated[float, Share, Control("Focal point edges weight", "", 0, 1, 0.05)] = 0.5
    autosized: Annotated[bool, Control("Auto-sized crop")] = False
    least_side: Annotated[int, Side, Control("Dimension lower bound", "", 64, 2048, 8)] = 384
    largest_side: Annotated[int, Side, Control("Dimension upper bound", "", 64, 2048, 8)] = 768
    least_area: Annotated[int, Field(ge=1), Control("Area lower bound", "", 4096, 4194304, 1)] = 4096
    largest_area: Annotated[int, Field(ge=1), Control("Area upper bound", "", 4096, 4194304, 1)] = 409600
    objective: Annotated[Literal["Maximize area", "Minimize error"], Control("Resizing objective")] = "Maximize area"
    error_threshold: Annotated[float, Share, Control("Error threshold", "", 0, 1, 0.01)] = 0.1
    flips: Annotated[tuple[Mirror, ...], Control("Create flipped copies")] = ()
    captions: Annotated[
        tuple[Captioner, ...],
        Control("Caption", "in a text file beside each result; BLIP needs its model in models/BLIP"),
    ] = ()

    @property
    def enlarges(self) -> bool:
        """Whether the size changes: A1111 resizes only where an upscaler is chosen."""
        return self.upscaler_1 != NO_UPSCALER

    @property
    def second(self) -> str | None:
        """The upscaler mixed in, if any."""
        return self.upscaler_2 if self.upscaler_2 != NO_UPSCALER and self.upscaler_2_visibility > 0 else None


def parse_extras(values: dict[str, Any]) -> ExtrasRequest:
    """The request of plain values. Raises InvalidField naming the first field at fault."""
    try:
        return ExtrasRequest.model_validate(values)
    except ValidationError as error:
        problem = first_problem(error)
        raise InvalidField(problem.words, field=problem.field or None) from None
