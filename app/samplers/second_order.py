"""Heun, DPM2, DPM2 a and Restart: two model calls a step."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor

from app.samplers.euler import ancestral_step, churned
from app.samplers.sampler import Noise, Point, SamplerOptions, Sampling
from app.samplers.schedules import karras_sigmas

RESTART_FROM, RESTART_TO = 0.1, 2.0


def heun_step(x: Tensor, sigma: Tensor, sigma_next: Tensor, step: int) -> Sampling:
    """One step of Heun's method; a step to 0 is Euler's (Karras et al. 2022, alg. 2, lines 7 to 11)."""
    denoised = (yield Point(x, float(sigma), step)).x0
    slope = (x - denoised) / sigma
    if sigma_next == 0:
        return x + slope * (sigma_next - sigma)
    ahead = x + slope * (sigma_next - sigma)
    denoised = (yield Point(ahead, float(sigma_next), step)).x0
    slope_ahead = (ahead - denoised) / sigma_next
    return x + (slope + slope_ahead) / 2 * (sigma_next - sigma)


def heun(x: Tensor, sigmas: Tensor, noise: Noise, options: SamplerOptions) -> Sampling:
    """Heun's method with churn (Karras et al. 2022, alg. 2)."""
    for step in range(len(sigmas) - 1):
        x, sigma = churned(x, sigmas, step, noise, options)
        x = yield from heun_step(x, sigma, sigmas[step + 1], step)
    return x


def _midpoint_step(x: Tensor, sigma: Tensor, sigma_next: Tensor, step: int) -> Sampling:
    """One step through the geometric mean of both levels; a step to 0 is Euler's (Lu et al. 2022, DPM-Solver-2)."""
    denoised = (yield Point(x, float(sigma), step)).x0
    slope = (x - denoised) / sigma
    if sigma_next == 0:
        return x + slope * (sigma_next - sigma)
    middle = sigma.log().lerp(sigma_next.log(), 0.5).exp()
    halfway = x + slope * (middle - sigma)
    denoised = (yield Point(halfway, float(middle), step)).x0
    return x + (halfway - denoised) / middle * (sigma_next - sigma)


def dpm2(x: Tensor, sigmas: Tensor, noise: Noise, options: SamplerOptions) -> Sampling:
    """DPM-Solver-2 in Karras' form, with churn."""
    for step in range(len(sigmas) - 1):
        x, sigma = churned(x, sigmas, step, noise, options)
        x = yield from _midpoint_step(x, sigma, sigmas[step + 1], step)
    return x


def dpm2_ancestral(x: Tensor, sigmas: Tensor, noise: Noise, options: SamplerOptions) -> Sampling:
    """DPM-Solver-2 with ancestral noise after each step but the last."""
    eta = 1.0 if options.eta is None else options.eta
    for step in range(len(sigmas) - 1):
        down, up = ancestral_step(sigmas[step], sigmas[step + 1], eta)
        x = yield from _midpoint_step(x, sigmas[step], down, step)
        if sigmas[step + 1] > 0:
            x = x + noise.next().to(x) * options.s_noise * up
    return x


def restart_steps(sigmas: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The (from, to) levels that Restart walks; a pair that begins above the last one's end is a restart.

    Below 20 steps they are those of `sigmas`. From 20 on they are Karras levels of the same range, shortened by the
    steps spent on restarting from near 0.1 back to near 2: nine steps once, from 36 steps on a quarter of them twice.
    """
    steps = len(sigmas) - 1
    if steps < 20:
        return list(pairwise(sigmas))
    length, times = (9, 1) if steps < 36 else (steps // 4, 2)
    levels = karras_sigmas(steps - length * times, float(sigmas[-2]), float(sigmas[0]))
    bottom = int((levels - RESTART_FROM).abs().argmin())
    top = int((levels - RESTART_TO).abs().argmin())
    pairs = list(pairwise(levels))
    if top >= bottom:
        return pairs
    again = karras_sigmas(length + 1, float(levels[bottom]), float(levels[top]))[:-1]
    return pairs[:bottom] + list(pairwise(again)) * times + pairs[bottom:]


def restart(x: Tensor, sigmas: Tensor, noise: Noise, options: SamplerOptions) -> Sampling:
    """Heun's method that goes back up with fresh noise on the way (Xu et al. 2023, alg. 1)."""
    reached: Tensor | None = None
    for step, (sigma, sigma_next) in enumerate(restart_steps(sigmas)):
        if reached is not None and sigma > reached:
            x = x + noise.next().to(x) * options.s_noise * (sigma**2 - reached**2) ** 0.5
        x = yield from heun_step(x, sigma, sigma_next, step)
        reached = sigma_next
    return x
