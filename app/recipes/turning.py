"""Turning: the model changes in the middle of a pass, and the prompts are read anew for the next one.

Knows when and what is read; that the weights are there is the engine's work.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from app.language import Timing
from app.recipes.effects import ChangeModel, Effect, ModelFacts
from app.recipes.guidance import Guidance
from app.recipes.image_channels import channels_without_picture
from app.recipes.passes import Turn
from app.recipes.path import own_levels
from app.recipes.prompts import read_prompts
from app.samplers import Point
from app.schema.choices import BUILT_IN, Choices
from app.schema.errors import UnsupportedModel


@dataclass(frozen=True, eq=False)
class Turning:
    """model: the one before. timing: of the prompts, which goes on. height, width: of the picture in pixels."""

    turn: Turn
    model: ModelFacts
    timing: Timing
    height: int
    width: int
    choices: Choices = BUILT_IN

    def due(self, point: Point, call: int) -> bool:
        """Whether the call counted from 0 is the next model's already."""
        if self.turn.by_calls:
            return call / self.timing.calls >= self.turn.at
        sigmas = self.model.sigmas.sigmas
        timestep = int((sigmas - point.sigma).abs().argmin()) if point.timestep is None else round(point.timestep)
        return (len(sigmas) - 1 - timestep) / len(sigmas) >= self.turn.at

    def __call__(self, guidance: Guidance) -> Generator[Effect, Any, Guidance]:
        """The guidance by the next model. Raises UnsupportedModel for one whose latents mean something else."""
        request = self.turn.resolved.request
        model: ModelFacts = yield ChangeModel(self.turn.resolved)
        require_same_latents(self.model, model, self.turn.resolved.checkpoint_name)
        fresh = yield from read_prompts(request, model, self.timing, self.height, self.width, self.choices)
        image = guidance.image
        if model.unet_channels != self.model.unet_channels:
            cell = model.pixels_per_latent
            image = yield from channels_without_picture(model, self.height // cell, self.width // cell)
        return guidance._replace(
            positive=fresh.positive,
            negative=fresh.negative,
            padding=fresh.padding,
            levels=own_levels(request, model),
            image=image,
            scale_input=model.scale_input,
        )


def require_same_latents(before: ModelFacts, after: ModelFacts, name: str) -> None:
    """Raises UnsupportedModel where a latent of one model says something else to the other."""
    scales = [(one.latent_channels, one.family.scaling_factor) for one in (before, after)]
    if scales[0] == scales[1]:
        return
    raise UnsupportedModel(
        f"{name} is of the family {after.family.name} and cannot go on with a latent of {before.family.name}.",
        field="checkpoint",
        hint="Choose a checkpoint of the same family; hires fix with an image upscaler takes any.",
    )
