"""What the refiner can be asked for, and which request it makes of a picture. No torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from app.extension_api import Control, GenerationRequest

NAME = "refiner"
NO_CHECKPOINT = ("", "None")


class Refiner(BaseModel):
    """checkpoint: any name that A1111 accepts; "" leaves the picture to its own. switch_at: share of the way."""

    model_config = ConfigDict(title="Refiner", frozen=True, extra="forbid", allow_inf_nan=False)

    checkpoint: Annotated[
        str,
        Control("Checkpoint", choices="checkpoints", api="refiner_checkpoint", infotext="Refiner", change_cost=10),
    ] = ""
    switch_at: Annotated[
        float,
        Field(ge=0, le=1),
        Control("Switch at", "share of the way", 0.01, 1, 0.01, None, "refiner_switch_at", "Refiner switch at"),
    ] = 0.8
    by_steps: Annotated[
        bool,
        Control(
            "Switch by sampling steps",
            "as before A1111 1.8; otherwise by the model's timesteps",
            api="refiner_switch_by_sample_steps",
            infotext="Refiner switch by sampling steps",
        ),
    ] = False


def values_of(request: GenerationRequest) -> Refiner:
    """What a request that names the refiner asks of it."""
    return Refiner.model_validate(request.extensions[NAME])


def refining(request: GenerationRequest) -> GenerationRequest | None:
    """The same request on the other checkpoint, which reads its prompts anew."""
    values = values_of(request)
    if values.checkpoint in NO_CHECKPOINT:
        return None
    return request.model_copy(update={"checkpoint": values.checkpoint, "extensions": {}})
