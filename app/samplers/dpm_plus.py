"""The DPM++ samplers: 2M, 2S a, SDE, 2M SDE, 2M SDE Heun and 3M SDE (Lu et al. 2022, DPM-Solver++).

All work in t = -log sigma, in which the linear part of the equation is solved exactly.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor

from app.samplers.euler import ancestral_step
from app.samplers.sampler import BrownianNoise, Noise, Point, SamplerOptions, Sampling


def _t(sigma: Tensor) -> Tensor:
    return sigma.log().neg()


def _sigma(t: Tensor) -> Tensor:
    return t.neg().exp()


def _path(sigmas: Tensor, noise: Noise, options: SamplerOptions) -> BrownianNoise:
    if options.brownian_span is not None:
        return noise.brownian(*options.brownian_span)
    positive = [sigma for sigma in sigmas.tolist() if sigma > 0] or [0.0]
    return noise.brownian(min(positive), max(positive))


def dpmpp_2m(x: Tensor, sigmas: Tensor, noise: Noise, options: SamplerOptions) -> Sampling:
    """DPM-Solver++(2M): the last two denoised latents, extrapolated."""
    before: Tensor | None = None
    for step in range(len(sigmas) - 1):
        sigma, sigma_next = sigmas[step], sigmas[step + 1]
        denoised = (yield Point(x, float(sigma), step)).x0
        h = _t(sigma_next) - _t(sigma)
        direction = denoised
        if before is not None and sigma_next > 0:
            ratio = (_t(sigma) - _t(sigmas[step - 1])) / h
            direction = (1 + 1 / (2 * ratio)) * denoised - (1 / (2 * ratio)) * before
        x = (sigma_next / sigma) * x - (-h).expm1() * direction
        before = denoised
    return x


def dpmpp_2s_ancestral(x: Tensor, sigmas: Tensor, noise: Noise, options: SamplerOptions) -> Sampling:
    """DPM-Solver++(2S) with ancestral noise; a step to 0 is Euler's."""
    eta = 1.0 if options.eta is None else options.eta
    for step in range(len(sigmas) - 1):
        sigma, sigma_next = sigmas[step], sigmas[step + 1]
        denoised = (yield Point(x, float(sigma), step)).x0
        down, up = ancestral_step(sigma, sigma_next, eta)
        if down == 0:
            x = x + (x - denoised) / sigma * (down - sigma)
        else:
            t, t_next = _t(sigma), _t(down)
            h = t_next - t
            middle = _sigma(t + h / 2)
            halfway = (middle / sigma) * x - (-h / 2).expm1() * denoised
            denoised = (yield Point(halfway, float(middle), step)).x0
            x = (_sigma(t_next) / sigma) * x - (-h).expm1() * denoised
        if sigma_next > 0:
            x = x + noise.next().to(x) * options.s_noise * up
    return x


def dpmpp_sde(x: Tensor, sigmas: Tensor, noise: Noise, options: SamplerOptions) -> Sampling:
    """DPM-Solver++ as a stochastic equation, two calls a step; a step to 0 is Euler's."""
    eta = 1.0 if options.eta is None else options.eta
    path = _path(sigmas, noise, options)
    for step in range(len(sigmas) - 1):
        sigma, sigma_next = sigmas[step], sigmas[step + 1]
        denoised = (yield Point(x, float(sigma), step)).x0
        if sigma_next == 0:
            x = x + (x - denoised) / sigma * (sigma_next - sigma)
            continue
        t, t_next = _t(sigma), _t(sigma_next)
        sigma, middle, sigma_next = _sigma(t), _sigma(t + (t_next - t) * 0.5), _sigma(t_next)
        down, up = ancestral_step(sigma, middle, eta)
        s = _t(down)
        halfway = (_sigma(s) / sigma) * x - (t - s).expm1() * denoised
        halfway = halfway + path(float(sigma), float(middle)).to(x) * options.s_noise * up
        denoised = (yield Point(halfway, float(middle), step)).x0
        down, up = ancestral_step(sigma, sigma_next, eta)
        s = _t(down)
        x = (_sigma(s) / sigma) * x - (t - s).expm1() * denoised
        x = x + path(float(sigma), float(sigma_next)).to(x) * options.s_noise * up
    return x


def _dpmpp_2m_sde(x: Tensor, sigmas: Tensor, noise: Noise, options: SamplerOptions, *, solver: str) -> Sampling:
    eta = 1.0 if options.eta is None else options.eta
    path = _path(sigmas, noise, options)
    before: Tensor | None = None
    h_before: Tensor | None = None
    for step in range(len(sigmas) - 1):
        sigma, sigma_next = sigmas[step], sigmas[step + 1]
        denoised = (yield Point(x, float(sigma), step)).x0
        if sigma_next == 0:
            x = denoised
            continue
        h = _t(sigma_next) - _t(sigma)
        eta_h = eta * h
        decay = (-h - eta_h).expm1().neg()
        x = sigma_next / sigma * (-eta_h).exp() * x + decay * denoised
        if before is not None and h_before is not None:
            weight = 0.5 * decay if solver == "midpoint" else decay / (-h - eta_h) + 1
            x = x + weight * (h / h_before) * (denoised - before)
        if eta:
            amount = sigma_next * (-2 * eta_h).expm1().neg().sqrt() * options.s_noise
            x = x + path(float(sigma), float(sigma_next)).to(x) * amount
        before, h_before = denoised, h
    return x


dpmpp_2m_sde = partial(_dpmpp_2m_sde, solver="midpoint")
dpmpp_2m_sde_heun = partial(_dpmpp_2m_sde, solver="heun")


def dpmpp_3m_sde(x: Tensor, sigmas: Tensor, noise: Noise, options: SamplerOptions) -> Sampling:
    """DPM-Solver++(3M) as a stochastic equation: the last three denoised latents; a step to 0 takes the denoised."""
    eta = 1.0 if options.eta is None else options.eta
    path = _path(sigmas, noise, options)
    past: list[tuple[Tensor, Tensor]] = []
    for step in range(len(sigmas) - 1):
        sigma, sigma_next = sigmas[step], sigmas[step + 1]
        denoised = (yield Point(x, float(sigma), step)).x0
        if sigma_next == 0:
            x = denoised
            continue
        h = _t(sigma_next) - _t(sigma)
        stretched = h * (eta + 1)
        x = (-stretched).exp() * x + (-stretched).expm1().neg() * denoised
        phi_2 = stretched.neg().expm1() / stretched + 1
        if len(past) == 2:
            (before, h_before), (long_before, h_long_before) = past
            ratio, ratio_before = h_before / h, h_long_before / h
            slope = (denoised - before) / ratio
            slope_before = (before - long_before) / ratio_before
            first = slope + (slope - slope_before) * ratio / (ratio + ratio_before)
            second = (slope - slope_before) / (ratio + ratio_before)
            phi_3 = phi_2 / stretched - 0.5
            x = x + phi_2 * first - phi_3 * second
        elif past:
            before, h_before = past[0]
            x = x + phi_2 * ((denoised - before) / (h_before / h))
        if eta:
            amount = sigma_next * (-2 * h * eta).expm1().neg().sqrt() * options.s_noise
            x = x + path(float(sigma), float(sigma_next)).to(x) * amount
        past = [(denoised, h), *past[:1]]
    return x
