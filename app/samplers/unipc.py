"""UniPC: a predictor and a corrector of the same order that share their model calls (Zhao et al. 2023).

Steps through `sigmas` in lambda = log(alpha / sigma). Needs the model's own table, in which it interpolates log alpha,
while the model is asked at the sigma of the same timestep.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from torch import Tensor

from app.samplers.model_sigmas import ModelSigmas
from app.samplers.sampler import Denoised, Noise, Point, SamplerOptions, Sampling
from app.samplers.timestep import finished


class _Level(NamedTuple):
    """One time in variance-preserving space, x = alpha * x0 + noise * e, and where the model is asked."""

    alpha: float
    noise: float
    timestep: float
    model_sigma: float

    @property
    def log_ratio(self) -> float:
        return math.log(self.alpha) - math.log(self.noise)


class _Past(NamedTuple):
    """A denoised latent that the model gave and the level it belongs to."""

    denoised: Tensor
    level: _Level


def _level(timestep: float, model: ModelSigmas) -> _Level:
    log_alphas = -0.5 * np.log1p(model.sigmas.double().numpy() ** 2)
    log_alpha = float(np.interp(timestep, np.arange(len(log_alphas)), log_alphas))
    noise = math.sqrt(-math.expm1(2 * log_alpha))
    return _Level(math.exp(log_alpha), noise, timestep, float(model.t_to_sigma(timestep)))


def unipc_timesteps(model: ModelSigmas, first: float, steps: int, skip_type: str) -> list[float]:
    """steps + 1 timesteps from `first` down to 0, in fractions (the model knows the whole ones).

    skip_type: time_uniform, time_quadratic (even in the root of time) or logSNR (even in log(alpha / sigma)).
    """
    count = len(model.sigmas)
    start, end = (first + 1) / count, 1 / count
    if skip_type == "time_uniform":
        times = np.linspace(start, end, steps + 1)
    elif skip_type == "time_quadratic":
        times = np.linspace(start**0.5, end**0.5, steps + 1) ** 2
    elif skip_type == "logSNR":
        ratios = np.linspace(_level(first, model).log_ratio, _level(0.0, model).log_ratio, steps + 1)
        log_alphas = -0.5 * np.log1p(model.sigmas.double().numpy() ** 2)
        wanted = -0.5 * np.logaddexp(0.0, -2 * ratios)
        return [float(t) for t in np.interp(wanted, log_alphas[::-1], np.arange(count)[::-1])]
    else:
        raise ValueError(f"UniPC's skip type is time_uniform, time_quadratic or logSNR, not {skip_type!r}")
    return [float(t) for t in times * count - 1]


def unipc(x: Tensor, sigmas: Tensor, noise: Noise, options: SamplerOptions) -> Sampling:
    """Multistep UniPC on the denoised latent; len(sigmas) - 1 model calls, none at the last level.

    Needs options.model. Returns x in variance-preserving space at the last level.
    """
    if options.model is None:
        raise ValueError("UniPC needs SamplerOptions.model")
    steps = len(sigmas) - 1
    if steps < 1:
        return finished(x, sigmas[-1])
    levels = [_level(float(t), options.model) for t in options.model.sigma_to_t(sigmas.double(), quantize=False)]
    order = min(options.unipc_order, steps)
    latent = finished(x, sigmas[0])
    denoised = _denoised(latent, levels[0], (yield _point(latent, levels[0], 0)))
    past = [_Past(denoised, levels[0])]
    for step in range(1, steps + 1):
        reach = min(step, order)
        if options.unipc_lower_order_final:
            reach = min(reach, steps + 1 - step)
        update = _Update(latent, past[:reach], levels[step], options.unipc_variant)
        latent = update.predicted()
        if step < steps:
            denoised = _denoised(latent, levels[step], (yield _point(latent, levels[step], step)))
            latent = update.corrected(denoised)
            past = [_Past(denoised, levels[step]), *past[: order - 1]]
    return latent


def _point(latent: Tensor, level: _Level, step: int) -> Point:
    return Point(latent * (1 + level.model_sigma**2) ** 0.5, level.model_sigma, step, level.timestep)


def _denoised(latent: Tensor, level: _Level, answer: Denoised) -> Tensor:
    """The denoised latent at this level's own alpha, from the noise that the answer implies."""
    predicted_noise = (latent * (1 + level.model_sigma**2) ** 0.5 - answer.x0) / level.model_sigma
    return (latent - level.noise * predicted_noise) / level.alpha


class _Update:
    """One step: what predictor and corrector share (Zhao et al. 2023, eq. 5 and 9; variant vary_coeff: app. C)."""

    def __init__(self, latent: Tensor, past: list[_Past], level: _Level, variant: str) -> None:
        newest = past[0]
        h = level.log_ratio - newest.level.log_ratio
        self._alpha, self._variant, self._newest = level.alpha, variant, newest.denoised
        self._h = -h
        ratios = [(old.level.log_ratio - newest.level.log_ratio) / h for old in past[1:]]
        self._differences = [
            (old.denoised - newest.denoised) / ratio for old, ratio in zip(past[1:], ratios, strict=True)
        ]
        self._ratios = np.array([*ratios, 1.0])
        self._linear = level.noise / newest.level.noise * latent - level.alpha * math.expm1(-h) * newest.denoised

    def predicted(self) -> Tensor:
        """The latent at the new level, from the past alone."""
        return self._linear - self._alpha * self._sum(self._weights(corrector=False), self._differences)

    def corrected(self, denoised: Tensor) -> Tensor:
        """The same with the model's answer at the new level taken in."""
        differences = [*self._differences, denoised - self._newest]
        return self._linear - self._alpha * self._sum(self._weights(corrector=True), differences)

    def _sum(self, weights: np.ndarray, differences: list[Tensor]) -> Tensor:
        total = 0 * self._linear
        for weight, difference in zip(weights, differences, strict=True):
            total = total + float(weight) * difference
        return total

    def _weights(self, *, corrector: bool) -> np.ndarray:
        """One weight per difference, the factor B(h) included."""
        order = len(self._ratios) if corrector else len(self._ratios) - 1
        if order == 0:
            return np.zeros(0)
        ratios = self._ratios[:order]
        phi = _phi(self._h, order + 1)
        if self._variant == "vary_coeff":
            powers = np.stack([ratios**k / math.factorial(k + 1) for k in range(order)], axis=1)
            inverse = np.linalg.inv(powers)
            if not corrector or order == 1:
                return phi[1 : order + 1] @ inverse
            # The authors' program, whose numbers users know, leaves the last row out and takes the new difference's
            # weight from the row before it.
            return np.append(phi[1:order] @ inverse[:-1, :-1], phi[order] * inverse[-2, -1])
        if self._variant not in ("bh1", "bh2"):
            raise ValueError(f"UniPC's variant is bh1, bh2 or vary_coeff, not {self._variant!r}")
        factor = self._h if self._variant == "bh1" else math.expm1(self._h)
        if order == 1:
            return np.array([0.5 * factor])
        right = np.array([phi[k + 1] * math.factorial(k + 1) / factor for k in range(order)])
        return factor * np.linalg.solve(np.stack([ratios**k for k in range(order)]), right)


def _phi(h: float, count: int) -> np.ndarray:
    """The functions h phi_1(h), h phi_2(h), ... of exponential integrators."""
    values = [math.expm1(h)]
    for k in range(1, count):
        values.append(values[-1] / h - 1 / math.factorial(k))
    return np.array(values)
