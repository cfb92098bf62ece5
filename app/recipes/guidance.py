"""Guidance: turns a sampler's Point into model rows and their answers back into one denoised latent.

Classifier-free guidance and AND are here, and so is the count of calls that prompt schedules go by; guides act on each
call. Samplers and the engine know nothing of any of it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from app.conditioning import aligned
from app.recipes.effects import Effect, Evaluate, Skip
from app.recipes.guides import Answered, Call, Guide
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
    follows its picture; None for one question less, which is the same at a scale of 1. padding: None for none.
    levels: where they are not the model's own, the noise levels that timesteps are told by.
    merging: share of the tokens that the U-Net merges. walked: calls that this pass makes, where they are fewer or
    more than planned (img2img); economy goes by them. scale_input: the U-Net is told the scale and answers guided
    (Luo et al. 2023), so that no negative prompt is asked for. guides: the first is nearest to the model, the last to
    the sampler.
    """

    positive: tuple[tuple[ConditioningSchedule, float], ...]
    negative: ConditioningSchedule
    scale: float
    calls: int
    image: Tensor | None = None
    image_scale: float | None = None
    economy: Economy = Economy()
    padding: Padding | None = None
    levels: ModelSigmas | None = None
    merging: float = 0.0
    walked: int = 0
    scale_input: bool = False
    guides: tuple[Guide, ...] = ()

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
        keys = tuple(guide.key for guide in self.guides)
        return Evaluate(point.x, point.sigma, tuple(rows), timestep, self.merging, scale, keys)

    def asked(self, point: Point, call: Call) -> Generator[Effect, Any, Evaluate]:
        """The question as the guides leave it."""
        question = self.question(point, call.number)
        for guide in reversed(self.guides):
            question = yield from guide.before(question, call)
        return question

    def told(self, question: Evaluate, rows: Tensor, call: Call) -> Denoised:
        """The answer as the guides leave it."""
        answered = self.answer(question, rows)
        for guide in self.guides:
            answered = answered._replace(denoised=guide.after(answered, call))
        return answered.denoised

    def answer(self, question: Evaluate, rows: Tensor) -> Answered:
        """uncond + sum of weight * scale * (cond - uncond), without normalisation (Liu et al. 2022, eq. 11).

        rows: [n, C, h, w] as asked for. Where the negative prompt was left out the first part stands in for it, and
        the scale is 1. With an image_scale the picture's share is added: image_scale * (uncond with the picture -
        uncond without) on top of the latter (Brooks et al. 2023, eq. 3).
        """
        count = len(self.positive)
        if len(rows) == count:
            uncond = rows[:1]
            prompted = self._combined(rows, uncond, 1.0)
            return Answered(question, rows, Denoised(prompted, uncond), prompted)
        uncond, without = rows[count : count + 1], rows[-1:]
        guided = self._combined(rows, uncond, self.scale)
        if self.image_scale is not None:
            guided = guided - uncond + without + (uncond - without) * self.image_scale
        return Answered(question, rows, Denoised(guided, without), self._combined(rows, uncond, 1.0))

    def _combined(self, rows: Tensor, uncond: Tensor, scale: float) -> Tensor:
        combined = uncond.clone()
        for number, (_, weight) in enumerate(self.positive):
            combined += (rows[number : number + 1] - uncond) * (weight * scale)
        return combined


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
            at = Call(call, calls)
            question = yield from guidance.asked(point, at)
            rows = yield question
            denoised = guidance.told(question, rows, at)
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
