"""LMS: a linear multistep method over the last four slopes."""

from __future__ import annotations

from functools import partial

import numpy as np
from torch import Tensor

from app.samplers.sampler import Noise, Point, SamplerOptions, Sampling


def lms_coefficients(sigmas: Tensor, step: int, order: int) -> list[float]:
    """Weights of the slopes at step, step - 1, ... for the step to sigmas[step + 1]: Adams and Bashforth's method
    with uneven spacing.

    Each is the integral of a Lagrange polynomial of degree order - 1, for which Gauss' rule is exact.
    """
    levels = sigmas.double().numpy()
    nodes, weights = np.polynomial.legendre.leggauss(order)
    start, end = levels[step], levels[step + 1]
    places = start + (end - start) * (nodes + 1) / 2
    known = [levels[step - k] for k in range(order)]
    coefficients = []
    for k, own in enumerate(known):
        polynomial = np.ones_like(places)
        for other in (level for j, level in enumerate(known) if j != k):
            polynomial = polynomial * (places - other) / (own - other)
        coefficients.append(float((weights * polynomial).sum() * (end - start) / 2))
    return coefficients


def _lms(x: Tensor, sigmas: Tensor, noise: Noise, options: SamplerOptions, *, order: int) -> Sampling:
    slopes: list[Tensor] = []
    for step in range(len(sigmas) - 1):
        denoised = (yield Point(x, float(sigmas[step]), step)).x0
        slopes = [(x - denoised) / sigmas[step], *slopes[: order - 1]]
        coefficients = lms_coefficients(sigmas, step, len(slopes))
        x = x + sum(coefficient * slope for coefficient, slope in zip(coefficients, slopes, strict=True))
    return x


lms = partial(_lms, order=4)
