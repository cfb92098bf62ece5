"""DDIM, DDIM CFG++ and PLMS, which walk the levels of whole timesteps and stop at the last of them.

They take and yield x in sigma space, where DDIM is Euler's method and its eta is Euler a's; what they return is x in
variance-preserving space, which at their last level is the finished latent.
"""

from __future__ import annotations

from torch import Tensor

from app.samplers.euler import ancestral_step
from app.samplers.sampler import Noise, Point, SamplerOptions, Sampling


def finished(x: Tensor, sigma: Tensor) -> Tensor:
    """x in variance-preserving space, from sigma space at sigma."""
    return x / (1 + sigma**2) ** 0.5


def ddim(x: Tensor, sigmas: Tensor, noise: Noise, options: SamplerOptions) -> Sampling:
    """Song et al. 2021, eq. 12 and 16; eta 0 puts no noise back."""
    return (yield from _ddim(x, sigmas, noise, options, unconditional_direction=False))


def ddim_cfg_plus_plus(x: Tensor, sigmas: Tensor, noise: Noise, options: SamplerOptions) -> Sampling:
    """DDIM whose renewed noise is the unconditional one (Chung et al. 2024, alg. 1). Needs Denoised.uncond_x0."""
    return (yield from _ddim(x, sigmas, noise, options, unconditional_direction=True))


def _ddim(
    x: Tensor, sigmas: Tensor, noise: Noise, options: SamplerOptions, *, unconditional_direction: bool
) -> Sampling:
    eta = 0.0 if options.eta is None else options.eta
    for step in range(len(sigmas) - 1):
        sigma, sigma_next = sigmas[step], sigmas[step + 1]
        answer = yield Point(x, float(sigma), step)
        origin = answer.x0
        if unconditional_direction:
            if answer.uncond_x0 is None:
                raise ValueError("DDIM CFG++ needs Denoised.uncond_x0")
            origin = answer.uncond_x0
        down, up = ancestral_step(sigma, sigma_next, eta)
        x = answer.x0 + (x - origin) / sigma * down
        if eta:
            x = x + noise.next().to(x) * up
    return finished(x, sigmas[-1])


ADAMS_BASHFORTH = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))


def plms(x: Tensor, sigmas: Tensor, noise: Noise, options: SamplerOptions) -> Sampling:
    """Pseudo linear multistep on the predicted noise (Liu et al. 2022, eq. 12), begun with one step of Heun's."""
    past: list[Tensor] = []
    for step in range(len(sigmas) - 1):
        sigma, sigma_next = sigmas[step], sigmas[step + 1]
        denoised = (yield Point(x, float(sigma), step)).x0
        predicted = (x - denoised) / sigma
        past = [predicted, *past[:3]]
        if len(past) == 1:
            ahead = x + predicted * (sigma_next - sigma)
            denoised = (yield Point(ahead, float(sigma_next), step)).x0
            direction = (predicted + (ahead - denoised) / sigma_next) / 2
        else:
            weights = ADAMS_BASHFORTH[len(past) - 1]
            direction = sum((weight * old for weight, old in zip(weights, past, strict=True)), 0 * predicted)
        x = x + direction * (sigma_next - sigma)
    return finished(x, sigmas[-1])
