"""Euler and Euler a, and the two ways of putting noise back that most samplers share.

Arithmetic on sigmas stays in their own dtype, so that float32 schedules give the numbers users know.
"""

from __future__ import annotations

import math

from torch import Tensor

from app.samplers.sampler import Noise, Point, SamplerOptions, Sampling


def churned(x: Tensor, sigmas: Tensor, step: int, noise: Noise, options: SamplerOptions, /) -> tuple[Tensor, Tensor]:
    """x and its sigma after the extra noise of Karras et al. 2022, alg. 2, lines 4 to 6; unchanged without s_churn.

    A draw is taken at every step, used or not, so that s_tmin and s_tmax do not shift the later ones.
    """
    sigma = sigmas[step]
    if options.s_churn <= 0:
        return x, sigma
    draw = noise.next().to(x)
    if not options.s_tmin <= float(sigma) <= (options.s_tmax or math.inf):
        return x, sigma
    gamma = min(options.s_churn / (len(sigmas) - 1), math.sqrt(2) - 1)
    raised = sigma * (gamma + 1)
    return x + draw * options.s_noise * (raised**2 - sigma**2) ** 0.5, raised


def ancestral_step(sigma: Tensor, sigma_next: Tensor, eta: float) -> tuple[Tensor, Tensor]:
    """The level to step down to and the noise to put back so as to arrive at sigma_next.

    eta 0 puts none back, 1 is ancestral sampling in full (Song et al. 2021, eq. 16 in sigma space).
    """
    if not eta:
        return sigma_next, sigma_next.new_zeros(())
    up = eta * (sigma_next**2 * (sigma**2 - sigma_next**2) / sigma**2) ** 0.5
    up = up.minimum(sigma_next)
    return (sigma_next**2 - up**2) ** 0.5, up


def euler(x: Tensor, sigmas: Tensor, noise: Noise, options: SamplerOptions) -> Sampling:
    """Euler's method (Karras et al. 2022, alg. 2 without the second-order correction)."""
    for step in range(len(sigmas) - 1):
        x, sigma = churned(x, sigmas, step, noise, options)
        denoised = (yield Point(x, float(sigma), step)).x0
        x = x + (x - denoised) / sigma * (sigmas[step + 1] - sigma)
    return x


def euler_ancestral(x: Tensor, sigmas: Tensor, noise: Noise, options: SamplerOptions) -> Sampling:
    """Euler's method with ancestral noise after each step but the last."""
    eta = 1.0 if options.eta is None else options.eta
    for step in range(len(sigmas) - 1):
        sigma, sigma_next = sigmas[step], sigmas[step + 1]
        denoised = (yield Point(x, float(sigma), step)).x0
        down, up = ancestral_step(sigma, sigma_next, eta)
        x = x + (x - denoised) / sigma * (down - sigma)
        if sigma_next > 0:
            x = x + noise.next().to(x) * options.s_noise * up
    return x
