"""Guidance: turns a sampler's Point into model rows and their answers back into one denoised latent.

Classifier-free guidance and AND are here, and so is the count of calls that prompt schedules go by. Samplers and
the engine know nothing of either.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from app.conditioning import aligned
from app.recipes.effects import Effect, Evaluate, Skip
from app.samplers import Denoised, ModelSigmas, Point, Sampling

if TYPE_CHECKING:
    from app.conditioning import ConditioningSchedule
    from app.recipes.padding import Padding
    from app.recipes.turning import Turning


@dataclass(frozen=True)
class Economy:
    """Which calls do without the negative prompt (a1111-facts 3.5).

    minimum_sigma: below it every other call does, or every one with all_steps; 0: none. early: the first calls do,
    by their share of all; 0: none.
    """

    minimum_sigma: float = 0.0
    all_steps: bool = False
    early: float = 0.0

    def leaves_out(self, sigma: float, call: int, calls: int) -> bool:
        """Whether this call, counted from 0, of so many planned, leaves the negative prompt out."""
        if self.early > 0 and call <= self.early * calls:
            return True
        return (call % 2 == 1 or self.all_steps) and sigma < self.minimum_sigma


class Guidance(NamedTuple):
    """How the answers of one image are combined.

    positive: (schedule, weight) of each AND part. negative: the schedule they are held against.
    scale: classifier-free guidance scale (Ho and Salimans 2022). calls: model calls that the schedules plan for.
    image: [1, k, h, w] for `Conditioning.image`, or None. image_scale: of an editing model, how closely the answer
    follows its picture; None for one question less, which is the same at a scale of 1.
    rescale: share of the spread that is taken back (Lin et al. 2023, section 3.4). padding: None for none.
    levels: where they are not the model's own, the noise levels that timesteps are told by.
    merging: share of the tokens that the U-Net merges. walked: calls that this pass makes, where they are fewer or
    more than planned (img2img); economy goes by them. scale_input: the U-Net is told the scale and answers guided
    (Luo et al. 2023), so that no negative prompt is asked for.
    """

    positive: tuple[tuple[ConditioningSchedule, float], ...]
    negative: ConditioningSchedule
    scale: float
    calls: int
    image: Tensor | None = None
    image_scale: float | None = None
    economy: Economy = Economy()
    rescale: float = 0.0
    padding: Padding | None = None
    levels: ModelSigmas | None = None
    merging: float = 0.0
    walked: int = 0
    scale_input: bool = False

    def question(self, point: Point, call: int) -> Evaluate:
        """The model rows of one call: each AND part as it stands at this call, then the negative prompt.

        The negative prompt is left out where economy says so, or the U-Net guides by itself; with an image_scale it
        never is, and comes once more without the picture.
        """
        parts = aligned([schedule.at(call, self.calls) for schedule, _ in self.positive])
        negative = self.negative.at(call, self.calls)
        if self.padding is not None:
            parts, negative = self.padding(parts, negative)
        left_out = self.scale_input or self.economy.leaves_out(point.sigma, call, self.walked or self.calls)
        left_out = left_out and self.image_scale is None
        rows = list(parts) if left_out else [*parts, negative]
        if self.image is not None:
            rows = [replace(row, image=self.image) for row in rows]
            if self.image_scale is not None:
                rows.append(replace(rows[-1], image=torch.zeros_like(self.image)))
        timestep = point.timestep
        if timestep is None and self.levels is not None:
            timestep = float(self.levels.sigma_to_t(point.sigma))
        scale = self.scale if self.scale_input else None
        return Evaluate(point.x, point.sigma, tuple(rows), timestep, self.merging, scale)

    def answer(self, question: Evaluate, rows: Tensor) -> Denoised:
        """uncond + sum of weight * scale * (cond - uncond), without normalisation (Liu et al. 2022, eq. 11).

        rows: [n, C, h, w] as asked for. Where the negative prompt was left out the first part stands in for it, and
        the scale is 1. With an image_scale the picture's share is added: image_scale * (uncond with the picture -
        uncond without) on top of the latter (Brooks et al. 2023, eq. 3).
        """
        count = len(self.positive)
        if len(rows) == count:
            uncond = rows[:1]
            return Denoised(self._combined(rows, uncond, 1.0), uncond)
        uncond, without = rows[count : count + 1], rows[-1:]
        guided = self._combined(rows, uncond, self.scale)
        if self.image_scale is not None:
            guided = guided - uncond + without + (uncond - without) * self.image_scale
        if self.rescale:
            guided = _rescaled(guided, self._combined(rows, uncond, 1.0), question, self.rescale)
        return Denoised(guided, without)

    def _combined(self, rows: Tensor, uncond: Tensor, scale: float) -> Tensor:
        combined = uncond.clone()
        for number, (_, weight) in enumerate(self.positive):
            combined += (rows[number : number + 1] - uncond) * (weight * scale)
        return combined


def _rescaled(guided: Tensor, cond: Tensor, question: Evaluate, share: float) -> Tensor:
    """The guided latent with the spread of the prompt's own velocity prediction (Lin et al. 2023, eq. 14 to 16)."""
    x, sigma = question.x, question.sigma
    steepness = (sigma**2 + 1) ** 0.5 / sigma
    origin = x / (sigma**2 + 1)
    guided_velocity, velocity = (origin - guided) * steepness, (origin - cond) * steepness
    own, guided_spread = (one.std(dim=(1, 2, 3), keepdim=True) for one in (velocity, guided_velocity))
    spread = own / guided_spread.clamp(min=torch.finfo(own.dtype).tiny)  # both are 0 where next to no noise is left
    return origin - guided_velocity * (share * spread + (1 - share)) / steepness


def guided(
    sampling: Sampling,
    guidance: Guidance,
    calls: int,
    report: Callable[[int, int, int, Tensor], None],
    turning: Turning | None = None,
) -> Generator[Effect, Any, tuple[Tensor, bool]]:
    """Runs a sampler to its end and returns (latent [1, C, h, w], ended early).

    calls: how many the sampler will make, for `report` (see `Tools`). turning: to another model on the way.
    A Skip thrown in returns the last denoised latent; before the first one there is none, and Skip goes on up.
    """
    denoised: Denoised | None = None
    call = 0
    try:
        point = next(sampling)
        while True:
            if turning is not None and turning.due(point, call):
                guidance = yield from turning(guidance)
                turning = None
            question = guidance.question(point, call)
            rows = yield question
            denoised = guidance.answer(question, rows)
            call += 1
            report(call, calls, point.step, denoised.x0)
            point = sampling.send(denoised)
    except StopIteration as stop:
        return stop.value, False
    except Skip:
        sampling.close()
        if denoised is None:
            raise
        return denoised.x0, True
