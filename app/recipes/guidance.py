"""Guidance: turns a sampler's Point into model rows and their answers back into one denoised latent.

Classifier-free guidance and AND are here, and so is the count of calls that prompt schedules go by. Samplers and
the engine know nothing of either.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from app.conditioning import aligned
from app.recipes.effects import Evaluate, Skip
from app.samplers import Denoised, Sampling

if TYPE_CHECKING:
    from app.conditioning import ConditioningSchedule


class Guidance(NamedTuple):
    """How the answers of one image are combined.

    positive: (schedule, weight) of each AND part. negative: the schedule they are held against.
    scale: classifier-free guidance scale (Ho and Salimans 2022). calls: model calls that the schedules plan for.
    image: [1, k, h, w] for `Conditioning.image`, or None. image_scale: of an editing model, how closely the answer
    follows its picture; None for one question less, which is the same at a scale of 1.
    """

    positive: tuple[tuple[ConditioningSchedule, float], ...]
    negative: ConditioningSchedule
    scale: float
    calls: int
    image: Tensor | None = None
    image_scale: float | None = None

    def question(self, x: Tensor, sigma: float, timestep: float | None, call: int) -> Evaluate:
        """The model rows of one call: each AND part as it stands at this call, then the negative prompt.

        With an image_scale the negative prompt comes once more, without the picture.
        """
        parts = aligned([schedule.at(call, self.calls) for schedule, _ in self.positive])
        rows = [*parts, self.negative.at(call, self.calls)]
        if self.image is not None:
            rows = [replace(row, image=self.image) for row in rows]
            if self.image_scale is not None:
                rows.append(replace(rows[-1], image=torch.zeros_like(self.image)))
        return Evaluate(x, sigma, tuple(rows), timestep)

    def answer(self, rows: Tensor) -> Denoised:
        """uncond + sum of weight * scale * (cond - uncond), without normalisation (Liu et al. 2022, eq. 11).

        rows: [n, C, h, w] as asked for. With an image_scale the picture's share is added to that: image_scale *
        (uncond with the picture - uncond without) on top of the latter (Brooks et al. 2023, eq. 3).
        """
        count = len(self.positive)
        uncond, without = rows[count : count + 1], rows[-1:]
        guided = uncond.clone() if self.image_scale is None else without + (uncond - without) * self.image_scale
        for number, (_, weight) in enumerate(self.positive):
            guided += (rows[number : number + 1] - uncond) * (weight * self.scale)
        return Denoised(guided, without)


def guided(
    sampling: Sampling, guidance: Guidance, calls: int, report: Callable[[int, int, int, Tensor], None]
) -> Generator[Evaluate, Tensor, tuple[Tensor, bool]]:
    """Runs a sampler to its end and returns (latent [1, C, h, w], ended early).

    calls: how many the sampler will make, for `report` (see `Tools`).
    A Skip thrown in returns the last denoised latent; before the first one there is none, and Skip goes on up.
    """
    denoised: Denoised | None = None
    call = 0
    try:
        point = next(sampling)
        while True:
            rows = yield guidance.question(point.x, point.sigma, point.timestep, call)
            denoised = guidance.answer(rows)
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
