"""Runs a recipe without an engine: every effect is answered by a formula, and all are remembered."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from app.conditioning import Conditioning, ConditioningSchedule
from app.models.families import SD1
from app.recipes import (
    ChangeModel,
    Decode,
    EncodeImage,
    EncodeText,
    Evaluate,
    ModelFacts,
    Picture,
    Recipe,
    RestoreFaces,
    Tools,
    Upscale,
)
from app.samplers import ModelSigmas
from app.schema.request import FileIdentity, GenerationRequest, ImagePlan, ResolvedRequest

SPREAD = 0.1


def facts(**changes: Any) -> ModelFacts:
    """Of SD1, on the CPU."""
    sigmas = ModelSigmas.scaled_linear()
    known = {
        "sigmas": sigmas,
        "alphas_cumprod": 1 / (1 + sigmas.sigmas**2),
        "unet_channels": 4,
        "latent_channels": 4,
        "pixels_per_latent": 8,
        "family": SD1,
        "device": "cpu",
    }
    return ModelFacts(**(known | changes))


def resolved(
    checkpoint: str = "base", passes: dict[str, ResolvedRequest] | None = None, **fields: Any
) -> ResolvedRequest:
    """A small picture: 32x32, 4 steps of Euler."""
    small = {"width": 32, "height": 32, "steps": 4, "sampler": "Euler", "precision": "fp32", "seed": 1}
    return ResolvedRequest(
        request=GenerationRequest(**(small | fields)),
        checkpoint=FileIdentity(path=checkpoint, size=1, mtime_ns=1),
        checkpoint_name=checkpoint,
    )


def plan(of: ResolvedRequest) -> ImagePlan:
    """Its first picture."""
    return ImagePlan("job", "ann", 0, 0, of.request.seed, 0, of)


class Driver:
    """effects: what the recipe asked for, with the checkpoint that was on. reports: as `Tools.report` got them.

    models: facts by checkpoint, where they are not SD1's. fail_at: the number of an effect before which `error` is
    thrown in.
    """

    def __init__(self, models: dict[str, ModelFacts] | None = None) -> None:
        self.models = models or {}
        self.effects: list[tuple[Any, str]] = []
        self.reports: list[tuple[int, int, int]] = []

    def run(
        self, recipe: Any, image: ImagePlan, *, fail_at: int | None = None, error: Exception | None = None
    ) -> Picture:
        self.on = image.resolved.checkpoint_name
        tools = Tools(self._facts(), lambda call, calls, step, denoised: self.reports.append((call, calls, step)))
        steps: Recipe = recipe(image, tools)
        try:
            effect = next(steps)
            while True:
                if len(self.effects) == fail_at and error is not None:
                    fail_at = None
                    effect = steps.throw(error)
                    continue
                if isinstance(effect, ChangeModel):
                    self.on = effect.resolved.checkpoint_name
                self.effects.append((effect, self.on))
                effect = steps.send(self._answer(effect))
        except StopIteration as stop:
            picture: Picture = stop.value
            return picture

    def of(self, kind: type) -> list[Any]:
        """The effects of one kind, in order."""
        return [effect for effect, _ in self.effects if isinstance(effect, kind)]

    def texts(self) -> list[str]:
        """What was read, in order."""
        return [effect.unit.variants[0].text for effect in self.of(EncodeText)]

    def _facts(self) -> ModelFacts:
        return self.models.get(self.on) or facts()

    def _answer(self, effect: Any) -> Any:
        if isinstance(effect, EncodeText):
            ends = tuple(variant.end for variant in effect.unit.variants)
            read = [len(variant.text) / 100 for variant in effect.unit.variants]
            return ConditioningSchedule(ends, tuple(Conditioning(torch.full((1, 77, 4), level)) for level in read))
        if isinstance(effect, Evaluate):
            levels = torch.stack([one.context.mean() for one in effect.conditionings])
            share = SPREAD**2 / (SPREAD**2 + effect.sigma**2)  # the exact denoiser of N(level, SPREAD)
            return share * effect.x + (1 - share) * levels.view(-1, 1, 1, 1)
        if isinstance(effect, EncodeImage):
            cells = functional.avg_pool2d(effect.pixels[None], 8)
            return torch.cat([cells, cells[:, :1]], dim=1)
        if isinstance(effect, Upscale):
            return torch.full((3, effect.height, effect.width), int(effect.pixels.float().mean()), dtype=torch.uint8)
        if isinstance(effect, RestoreFaces):
            return 255 - effect.pixels
        if isinstance(effect, ChangeModel):
            return self._facts()
        assert isinstance(effect, Decode)
        grey = ((effect.latent[0, :3] + 1) / 2).clamp(0, 1).mul(255).to(torch.uint8)
        return grey.repeat_interleave(8, 1).repeat_interleave(8, 2)
