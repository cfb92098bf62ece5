"""The schedules: which noise levels a sampler with n steps walks through.

Every function gives a falling float32 tensor on the CPU; all but KL Optimal end in 0. Knows nothing of samplers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from app.samplers.model_sigmas import ModelSigmas

ALIGN_YOUR_STEPS_SD1 = (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029)
ALIGN_YOUR_STEPS_SDXL = (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029)


@dataclass(frozen=True)
class ScheduleInputs:
    """What a schedule may draw upon: the model's noise levels, the range asked for, and the shape of the curve."""

    model: ModelSigmas
    sigma_min: float
    sigma_max: float
    rho: float = 7.0
    beta_alpha: float = 0.6
    beta_beta: float = 0.6


Schedule = Callable[[int, ScheduleInputs], Tensor]


def uniform(steps: int, inputs: ScheduleInputs) -> Tensor:
    """Evenly spaced timesteps of the whole model, both ends included; overrides of the range do not reach it."""
    last = len(inputs.model.sigmas) * inputs.model.stride - 1
    return _with_zero(inputs.model.t_to_sigma(torch.linspace(last, inputs.model.stride - 1, steps)))


def karras_sigmas(steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> Tensor:
    """Evenly spaced in sigma^(1/rho), then 0: [steps + 1] (Karras et al. 2022, eq. 5)."""
    ramp = torch.linspace(0, 1, steps)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return _with_zero((high + ramp * (low - high)) ** rho)


def karras(steps: int, inputs: ScheduleInputs) -> Tensor:
    """Karras et al. 2022, eq. 5; rho 7."""
    return karras_sigmas(steps, inputs.sigma_min, inputs.sigma_max, inputs.rho)


def exponential(steps: int, inputs: ScheduleInputs) -> Tensor:
    """Evenly spaced in log sigma."""
    return _with_zero(torch.linspace(math.log(inputs.sigma_max), math.log(inputs.sigma_min), steps).exp())


def polyexponential(steps: int, inputs: ScheduleInputs) -> Tensor:
    """A power rho of a ramp in log sigma; rho 1 is Exponential."""
    ramp = torch.linspace(1, 0, steps) ** inputs.rho
    low, high = math.log(inputs.sigma_min), math.log(inputs.sigma_max)
    return _with_zero((ramp * (high - low) + low).exp())


def sgm_uniform(steps: int, inputs: ScheduleInputs) -> Tensor:
    """Evenly spaced timesteps without the last, as in Stability's generative-models."""
    return _with_zero(inputs.model.t_to_sigma(_timesteps(steps + 1, inputs)[:-1]))


def normal(steps: int, inputs: ScheduleInputs) -> Tensor:
    """Evenly spaced timesteps over the range, both ends included."""
    return _with_zero(inputs.model.t_to_sigma(_timesteps(steps, inputs)))


def kl_optimal(steps: int, inputs: ScheduleInputs) -> Tensor:
    """Evenly spaced in arctan sigma, [steps + 1] and no 0 at the end (Sabour et al. 2024, theorem 3.1)."""
    position = torch.arange(steps + 1) / max(steps, 1)
    low, high = torch.tensor(inputs.sigma_min).atan(), torch.tensor(inputs.sigma_max).atan()
    return torch.tan(position * low + (1 - position) * high)


def align_your_steps(steps: int, inputs: ScheduleInputs) -> Tensor:
    """The optimised eleven levels, interpolated in log sigma for other counts (Sabour et al. 2024)."""
    levels = np.array(ALIGN_YOUR_STEPS_SDXL if inputs.model.sdxl else ALIGN_YOUR_STEPS_SD1)
    if steps != len(levels):
        places, wanted = np.linspace(0, 1, len(levels)), np.linspace(0, 1, steps)
        levels = np.exp(np.interp(wanted, places, np.log(levels)))
    return _with_zero(torch.from_numpy(levels).float())


def simple(steps: int, inputs: ScheduleInputs) -> Tensor:
    """Every (N / steps)-th of the model's sigmas, counted down from the largest."""
    count = len(inputs.model.sigmas)
    return _with_zero(inputs.model.sigmas[[count - 1 - int(k * (count / steps)) for k in range(steps)]])


def ddim(steps: int, inputs: ScheduleInputs) -> Tensor:
    """Sigmas 1, 1 + q, 1 + 2q ... with q = N // steps, reversed; their number may differ from steps."""
    stride = max(len(inputs.model.sigmas) // max(steps, 1), 1)
    return _with_zero(inputs.model.sigmas[1::stride].flip(0))


def beta(steps: int, inputs: ScheduleInputs) -> Tensor:
    """Quantiles of the Beta distribution laid linearly on sigma, both ends included (Lee et al. 2024)."""
    from scipy.special import betaincinv  # noqa: PLC0415  scipy costs 0.2 s and only this schedule needs it

    quantiles = betaincinv(inputs.beta_alpha, inputs.beta_beta, 1 - np.linspace(0, 1, steps))
    levels = inputs.sigma_min + quantiles * (inputs.sigma_max - inputs.sigma_min)
    return _with_zero(torch.from_numpy(levels).float())


SCHEDULES: dict[str, Schedule] = {
    "Uniform": uniform,
    "Karras": karras,
    "Exponential": exponential,
    "Polyexponential": polyexponential,
    "SGM Uniform": sgm_uniform,
    "KL Optimal": kl_optimal,
    "Align Your Steps": align_your_steps,
    "Simple": simple,
    "Normal": normal,
    "DDIM": ddim,
    "Beta": beta,
}


def _timesteps(count: int, inputs: ScheduleInputs) -> Tensor:
    start, end = (float(inputs.model.sigma_to_t(sigma)) for sigma in (inputs.sigma_max, inputs.sigma_min))
    return torch.linspace(start, end, count)


def _with_zero(sigmas: Tensor) -> Tensor:
    return torch.cat([sigmas, sigmas.new_zeros(1)])
