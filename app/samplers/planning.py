"""From a request's sampler, schedule and steps to the noise levels, and to the latent to start from.

Holds A1111's rules on which sigmas are walked: Automatic, discarded sigmas, overrides, img2img's share of the steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from app.samplers.model_sigmas import ModelSigmas
from app.samplers.schedules import ScheduleInputs, exponential
from app.samplers.table import BUILT_IN_TABLES, Tables
from app.samplers.unipc import unipc_timesteps
from app.schema.choices import AUTOMATIC, SamplerName, find_sampler, find_schedule

OLD_KARRAS_RANGE = (0.1, 10.0)
OWN_SCHEDULE = frozenset({"DPM fast", "DPM adaptive"})
STRONGEST = 0.999


@dataclass(frozen=True)
class ScheduleOptions:
    """What a request may change about a schedule; 0 leaves a number at its default.

    sigma_min, sigma_max: range of the schedules that take one (not Uniform, Simple, DDIM, Align Your Steps).
    rho: of Karras and Polyexponential. old_karras_range: 0.1 to 10 ("use_old_karras_scheduler_sigmas").
    always_discard_next_to_last: for every sampler, not only those that do it anyway.
    beta_alpha, beta_beta: shape of the Beta schedule. unipc_skip_type: see `unipc_timesteps`.
    """

    sigma_min: float = 0.0
    sigma_max: float = 0.0
    rho: float = 0.0
    old_karras_range: bool = False
    always_discard_next_to_last: bool = False
    beta_alpha: float = 0.6
    beta_beta: float = 0.6
    unipc_skip_type: str = "time_uniform"


class Plan(NamedTuple):
    """The way one image is to take.

    sigmas: 1-D float32 on the CPU, falling; its first is where the sampler starts.
    noise_sigma: level of the noise that the first latent gets (for timestep samplers in img2img not quite sigmas[0]).
    brownian_span: smallest and largest positive sigma of the whole schedule, for `SamplerOptions`.
    variance_preserving: the start is mixed as alpha * latent + noise, not latent + sigma * noise.
    """

    sigmas: Tensor
    noise_sigma: float
    brownian_span: tuple[float, float]
    variance_preserving: bool

    def start(
        self,
        noise: Tensor,
        latent: Tensor | None = None,
        *,
        sgm_noise_multiplier: bool = False,
        extra_noise: float = 0.0,
    ) -> Tensor:
        """x to hand to the sampler, in sigma space at sigmas[0].

        noise: [1, C, h, w], unit variance. latent: what is to be redrawn, or None for a picture from nothing.
        sgm_noise_multiplier: start from nothing at sqrt(1 + sigma^2) instead of sigma, which timestep samplers
        always do. extra_noise: so much more of the noise on the latent ("extra noise multiplier for img2img").
        """
        sigma = self.noise_sigma
        if latent is None:
            grown = self.variance_preserving or sgm_noise_multiplier
            return noise * ((1 + sigma**2) ** 0.5 if grown else sigma)
        if not self.variance_preserving:
            return latent + noise * (sigma + extra_noise)
        mixed = (latent + noise * (sigma + extra_noise)) / (1 + sigma**2) ** 0.5
        return mixed * (1 + float(self.sigmas[0]) ** 2) ** 0.5


def img2img_steps(steps: int, denoising_strength: float, *, exact_steps: bool) -> tuple[int, int]:
    """(steps of the whole schedule, index t_enc of the level to start from, counted from the end).

    exact_steps: the schedule is stretched so that `steps` of it are walked (the hires pass, and "fix steps");
    otherwise denoising_strength is the share of `steps` that is walked.
    """
    strength = min(denoising_strength, STRONGEST)
    if exact_steps:
        return (int(steps / strength) if strength > 0 else 0), steps - 1
    return steps, int(strength * steps)


def plan(
    sampler: str,
    schedule: str,
    steps: int,
    model: ModelSigmas,
    options: ScheduleOptions | None = None,
    *,
    tables: Tables = BUILT_IN_TABLES,
) -> Plan:
    """The way from pure noise. sampler, schedule: names in `tables`; steps: 1 or more.

    Raises UnknownChoice for a name that is not in its list.
    """
    options = ScheduleOptions() if options is None else options
    named = find_sampler(sampler, tables.choices)
    if named.timestep:
        levels = _timesteps(named, steps, model, options)
        if named.name == "UniPC":
            sigmas = _unipc_sigmas(len(model.sigmas) - 1.0, len(levels), model, options)
        else:
            sigmas = model.sigmas[levels].flip(0)
        return _plan(sigmas, sigmas, variance_preserving=True)
    if named.name in OWN_SCHEDULE:
        sigmas = exponential(steps + 1, ScheduleInputs(model, model.sigma_min, model.sigma_max))[:-1]
    else:
        sigmas = _sigmas(named, schedule, steps, model, options, tables)
    return _plan(sigmas, sigmas, variance_preserving=False)


def plan_img2img(
    sampler: str,
    schedule: str,
    steps: int,
    denoising_strength: float,
    model: ModelSigmas,
    options: ScheduleOptions | None = None,
    *,
    exact_steps: bool = False,
    tables: Tables = BUILT_IN_TABLES,
) -> Plan:
    """The way from a noised latent; denoising_strength 0 to 1, exact_steps as in `img2img_steps`.

    A schedule of no steps (strength 0 with exact_steps) leaves the latent as it is.
    """
    options = ScheduleOptions() if options is None else options
    named = find_sampler(sampler, tables.choices)
    total, start = img2img_steps(steps, denoising_strength, exact_steps=exact_steps)
    if total == 0:
        nothing = torch.zeros(1)
        return _plan(nothing, nothing, variance_preserving=False)
    if not named.timestep:
        whole = _sigmas(named, schedule, total, model, options, tables)
        # Counted from the front, as A1111 does: the DDIM schedule may have more levels than steps, or far fewer.
        first = min(max(total - start - 1, 0), len(whole) - 2)
        return _plan(whole[first:], whole, variance_preserving=False)
    levels = _timesteps(named, total, model, options)
    noised_at = levels[min(start, len(levels) - 1)]
    walked = levels[: max(start, 1)]
    if named.name == "UniPC":
        sigmas = _unipc_sigmas(float(walked[-1]), len(walked), model, options)
    else:
        sigmas = model.sigmas[walked].flip(0)
    return _plan(sigmas, sigmas, variance_preserving=True)._replace(noise_sigma=float(model.sigmas[noised_at]))


def _plan(sigmas: Tensor, whole: Tensor, *, variance_preserving: bool) -> Plan:
    # Levels can coincide (a large rho, more steps than the model has); a step of no length would divide by zero.
    sigmas = sigmas.unique_consecutive()
    positive = [sigma for sigma in whole.tolist() if sigma > 0] or [0.0]
    return Plan(sigmas, float(sigmas[0]), (min(positive), max(positive)), variance_preserving)


def _sigmas(
    named: SamplerName, schedule: str, steps: int, model: ModelSigmas, options: ScheduleOptions, tables: Tables
) -> Tensor:
    if named.name == "LCM":
        model = model.lcm()
    label = find_schedule(schedule, tables.choices).label
    if label == AUTOMATIC:
        label = named.default_schedule or "Uniform"
    default_min, default_max = OLD_KARRAS_RANGE if options.old_karras_range else (model.sigma_min, model.sigma_max)
    inputs = ScheduleInputs(
        model,
        sigma_min=options.sigma_min or default_min,
        sigma_max=options.sigma_max or default_max,
        rho=options.rho or find_schedule(label, tables.choices).default_rho,
        beta_alpha=options.beta_alpha,
        beta_beta=options.beta_beta,
    )
    discard = named.discard_next_to_last or options.always_discard_next_to_last
    sigmas = tables.schedules[label](steps + discard, inputs)
    if discard:
        sigmas = torch.cat([sigmas[:-2], sigmas[-1:]])
    return sigmas


def _timesteps(named: SamplerName, steps: int, model: ModelSigmas, options: ScheduleOptions) -> Tensor:
    """Whole timesteps 1, 1 + q, 1 + 2q ... with q = N // steps, rising; their number may differ from steps."""
    steps += options.always_discard_next_to_last
    count = len(model.sigmas)
    return (torch.arange(0, count, max(count // steps, 1)) + 1).clamp(max=count - 1)


def _unipc_sigmas(first: float, steps: int, model: ModelSigmas, options: ScheduleOptions) -> Tensor:
    timesteps = unipc_timesteps(model, first, steps, options.unipc_skip_type)
    return model.t_to_sigma(torch.tensor(timesteps))
