"""What loopback can be asked for, and the rounds that it makes of a request. No torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from app.extension_api import Control, GenerationRequest, InvalidField, Part, Script

NAME = "loopback"
LARGEST_SEED = 2**64 - 1

Curve = Literal["Aggressive", "Linear", "Lazy"]
CURVES: Mapping[str, Callable[[float], float]] = {
    "Aggressive": lambda way: math.sin(way * math.pi / 2),
    "Linear": lambda way: way,
    "Lazy": lambda way: 1 - math.cos(way * math.pi / 2),
}
"""Share of the rounds gone (0 to 1) -> share of the way from the first denoising strength to the last."""


class Loopback(BaseModel):
    """Every round redraws the picture of the one before, with the next seed."""

    model_config = ConfigDict(title="Loopback", frozen=True, extra="forbid", allow_inf_nan=False)
    TABS: ClassVar[tuple[str, ...]] = ("img2img", "inpaint")
    MENU_SCRIPTS: ClassVar[tuple[Script, ...]] = (
        Script("Loopback", ("loops", "final_denoising_strength", "curve", "interrogation")),
    )

    loops: Annotated[
        int,
        Field(ge=1, le=1000),
        Control("Loops", "rounds, each over the picture of the one before", 1, 32, 1, infotext="Loops"),
    ] = 4
    final_denoising_strength: Annotated[
        float,
        Field(ge=0, le=1),
        Control(
            "Final denoising strength",
            "of the last round; the first has the form's",
            0,
            1,
            0.01,
            infotext="Final denoising strength",
        ),
    ] = 0.5
    curve: Annotated[
        Curve,
        Control("Denoising strength curve", "how the rounds go from one to the other", infotext="Denoising curve"),
    ] = "Linear"
    interrogation: Annotated[
        Literal["None", "CLIP", "DeepBooru"], Control("Append interrogated prompt at each iteration")
    ] = "None"

    @field_validator("interrogation")
    @classmethod
    def _nobody_to_ask(cls, value: str) -> str:
        if value != "None":
            raise ValueError(f"there is no captioner here that could tell a prompt ({value}); choose None")
        return value


def strengths(first: float, values: Loopback) -> list[float]:
    """The denoising strength of each round."""
    if values.loops == 1:
        return [first]
    ways = [CURVES[values.curve](number / (values.loops - 1)) for number in range(values.loops)]
    return [first + (values.final_denoising_strength - first) * way for way in ways]


def rounds(request: GenerationRequest) -> list[Part]:
    """The pictures of all rounds: batch count times, for each picture given, and one at a time.

    The seed rises from round to round and goes on rising in the next batch; from the second round on a mask's content
    is 'original', since the first has filled it. Raises InvalidField where there is no picture to begin with.
    """
    values = Loopback.model_validate(request.extensions[NAME])
    if not request.init_images:
        raise InvalidField("Loopback redraws a picture, and none is given.", hint="Use it in img2img or Inpaint.")
    parts: list[Part] = []
    for _ in range(request.batch_count):
        for picture in request.init_images:
            for number, strength in enumerate(strengths(request.denoising_strength, values)):
                changes: dict[str, Any] = {
                    "init_images": (picture,),
                    "seed": (request.seed + len(parts)) % (LARGEST_SEED + 1),
                    "denoising_strength": strength,
                    "batch_count": 1,
                    "batch_size": 1,
                }
                if number:
                    changes["masked_content"] = "original"
                source = len(parts) - 1 if number else None
                parts.append(Part(request.model_copy(update=changes), batch=len(parts), source=source))
    return parts
