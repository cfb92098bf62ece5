"""Learning-rate schedules: a factor for each step, from a name or from A1111's 'rate:step' text.

Pure functions of the step, so that a resumed run goes on exactly where it was. Steps count optimiser steps from 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from app.schema.errors import TrainingProblem
from app.schema.training import ScheduleName

Schedule = Callable[[int], float]


def constant(steps: int) -> Schedule:
    """1 throughout."""
    return lambda step: 1.0


def linear(steps: int) -> Schedule:
    """From 1 down to 0 over `steps`."""
    return lambda step: max(0.0, 1.0 - step / steps)


def cosine(steps: int) -> Schedule:
    """Half a cosine from 1 down to 0 over `steps` (Loshchilov and Hutter 2017)."""
    return lambda step: 0.5 * (1.0 + math.cos(math.pi * min(step / steps, 1.0)))


def cosine_with_restarts(steps: int, cycles: int) -> Schedule:
    """As many half cosines in turn, each from 1 down to 0 (Loshchilov and Hutter 2017, all of one length)."""
    return lambda step: 0.0 if step >= steps else 0.5 * (1.0 + math.cos(math.pi * (cycles * step / steps % 1.0)))


def polynomial(steps: int, power: float) -> Schedule:
    """`linear` to a power."""
    return lambda step: max(0.0, 1.0 - step / steps) ** power


def named_schedule(name: ScheduleName, steps: int, cycles: int = 1, power: float = 1.0) -> Schedule:
    """cycles: of 'cosine_with_restarts'. power: of 'polynomial'."""
    match name:
        case "constant":
            return constant(steps)
        case "linear":
            return linear(steps)
        case "cosine":
            return cosine(steps)
        case "cosine_with_restarts":
            return cosine_with_restarts(steps, cycles)
        case "polynomial":
            return polynomial(steps, power)


def warm_up_steps(warm_up: float, steps: int) -> int:
    """warm_up: steps, or below 1 a share of all. At least one step is left after them."""
    return min(int(warm_up * steps if warm_up < 1 else warm_up), steps - 1)


def after_warm_up(schedule: Schedule, warm_up: int) -> Schedule:
    """Rises linearly to 1 over `warm_up` steps; the schedule begins then, as in kohya's and diffusers' scripts."""
    return lambda step: (step + 1) / warm_up if step < warm_up else schedule(step - warm_up)


def with_warm_up(schedule: Schedule, warm_up: int) -> Schedule:
    """The same, rising linearly over its first `warm_up` steps: as the starter was trained."""
    return lambda step: schedule(step) * min(1.0, (step + 1) / warm_up) if warm_up else schedule(step)


class Stretch(NamedTuple):
    """A rate that holds for steps below `until`."""

    rate: float
    until: int


def read_rates(text: str, steps: int) -> tuple[Stretch, ...]:
    """A1111's syntax 'rate:until, rate:until, rate' as stretches that end at `steps` at the latest.

    A bare rate, or one until -1, holds to the end. After the last stretch a training stops, also before `steps`.
    Raises TrainingProblem naming the part that cannot be read.
    """
    stretches: list[Stretch] = []
    for part in (part.strip() for part in text.split(",")):
        if not part:
            continue
        rate_text, colon, until_text = part.partition(":")
        try:
            rate = float(rate_text)
            until = int(until_text) if colon else -1
        except ValueError:
            raise TrainingProblem(
                f"The learning rate part '{part[:40]}' cannot be read.",
                field="learning_rate",
                hint="Write rates like 0.005 or 5e-3:200, 1e-3:500, 1e-5.",
            ) from None
        if not math.isfinite(rate):
            raise TrainingProblem(f"The learning rate '{part[:40]}' is not a number.", field="learning_rate")
        until = steps if until == -1 else min(until, steps)
        stretches.append(Stretch(rate, until))
        if until >= steps:
            break
    if not stretches:
        raise TrainingProblem("There is no learning rate.", field="learning_rate", hint="Write one, such as 1e-4.")
    return tuple(stretches)


def rate_at(stretches: Sequence[Stretch], step: int) -> float | None:
    """The rate at a step, None once the last stretch is over."""
    return next((stretch.rate for stretch in stretches if step < stretch.until), None)
