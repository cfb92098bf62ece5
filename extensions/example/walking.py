"""A sampler, the midpoint rule: the model is asked half-way, too; and a schedule. Both need torch."""

from __future__ import annotations

import torch
from torch import Tensor

from app.extension_api import Noise, Point, SamplerOptions, Sampling, ScheduleInputs


def midpoint(x: Tensor, sigmas: Tensor, noise: Noise, options: SamplerOptions) -> Sampling:
    """A sampler yields where it wants the model and is sent what it expects there; it returns the finished latent.

    Levels are taken two at a time, the one between them is the midpoint; a last single one is a step of Euler's.
    """
    step = 0
    while step < len(sigmas) - 1:
        begin, middle = sigmas[step], sigmas[step + 1]
        slope = (x - (yield Point(x, float(begin), step)).x0) / begin
        halfway = x + slope * (middle - begin)
        if step + 2 >= len(sigmas) or sigmas[step + 2] >= middle or middle == 0:
            return halfway
        slope = (halfway - (yield Point(halfway, float(middle), step + 1)).x0) / middle
        x = x + slope * (sigmas[step + 2] - begin)
        step += 2
    return x


def quadratic(steps: int, inputs: ScheduleInputs) -> Tensor:
    """Noise levels evenly spaced in their square root, then 0: steps + 1 of them, falling."""
    roots = torch.linspace(inputs.sigma_max**0.5, inputs.sigma_min**0.5, steps)
    return torch.cat([roots**2, torch.zeros(1)])
