"""DPM fast and DPM adaptive: DPM-Solver of orders one to three on a schedule of its own (Lu et al. 2022).

Of `sigmas` they read the largest, the smallest above 0 and the number of steps. They end at the smallest, not at 0.
"""

from __future__ import annotations

import math
from collections.abc import Generator

import torch
from torch import Tensor

from app.samplers.euler import ancestral_step
from app.samplers.sampler import Denoised, Noise, Point, SamplerOptions, Sampling

Solution = Generator[Point, Denoised, tuple[Tensor, Tensor]]

RELATIVE_TOLERANCE = 0.05
ABSOLUTE_TOLERANCE = 0.0078
FIRST_STRIDE = 0.05
ACCEPT_ABOVE = 0.81
END_MARGIN = 1e-5


def _sigma(t: Tensor) -> Tensor:
    return t.neg().exp()


def _slope(x: Tensor, t: Tensor, step: int) -> Sampling:
    sigma = _sigma(t)
    denoised = (yield Point(x, float(sigma), step)).x0
    return (x - denoised) / sigma


def _solve(x: Tensor, t: Tensor, t_next: Tensor, order: int, step: int) -> Solution:
    """One step of DPM-Solver. Returns the solution of this order and the one of the order below (for order 3)."""
    h = t_next - t
    slope = yield from _slope(x, t, step)
    first = x - _sigma(t_next) * h.expm1() * slope
    if order == 1:
        return first, first
    near = 1 / 2 if order == 2 else 1 / 3
    t_near = t + near * h
    x_near = x - _sigma(t_near) * (near * h).expm1() * slope
    slope_near = yield from _slope(x_near, t_near, step)
    second = first - _sigma(t_next) / (2 * near) * h.expm1() * (slope_near - slope)
    if order == 2:
        return second, first
    far = 2 / 3
    t_far = t + far * h
    bend = (far * h).expm1() / (far * h) - 1
    x_far = x - _sigma(t_far) * (far * h).expm1() * slope - _sigma(t_far) * (far / near) * bend * (slope_near - slope)
    slope_far = yield from _slope(x_far, t_far, step)
    third = first - _sigma(t_next) / far * (h.expm1() / h - 1) * (slope_far - slope)
    return third, second


def _split(t: Tensor, t_next: Tensor, t_end: Tensor, eta: float) -> tuple[Tensor, Tensor]:
    """Where to step to so that the ancestral noise, the second value, leads back to t_next."""
    if not eta:
        return t_next, t_next.new_zeros(())
    down, _ = ancestral_step(_sigma(t), _sigma(t_next), eta)
    reached = torch.minimum(t_end, -down.log())
    return reached, (_sigma(t_next) ** 2 - _sigma(reached) ** 2) ** 0.5


def _ends(sigmas: Tensor) -> tuple[Tensor, Tensor]:
    return -sigmas[0].log(), -sigmas[sigmas > 0].min().log()


def dpm_fast(x: Tensor, sigmas: Tensor, noise: Noise, options: SamplerOptions) -> Sampling:
    """DPM-Solver-fast: len(sigmas) - 1 model calls in steps of order three, the rest in lower ones (app. D.3)."""
    if len(sigmas) < 2:
        return x
    eta = 1.0 if options.eta is None else options.eta
    calls = len(sigmas) - 1
    start, end = _ends(sigmas)
    if not end > start:
        return (yield Point(x, float(sigmas[0]), 0)).x0
    count = calls // 3 + 1
    orders = [3] * (count - 2) + [2, 1] if calls % 3 == 0 else [3] * (count - 1) + [calls % 3]
    times = torch.linspace(float(start), float(end), count + 1, dtype=sigmas.dtype)
    done = 0
    for order, t, t_next in zip(orders, times[:-1], times[1:], strict=True):
        reached, up = _split(t, t_next, end, eta)
        x, _ = yield from _solve(x, t, reached, order, done)
        x = x + up * options.s_noise * noise.next().to(x)
        done += order
    return x


def dpm_adaptive(x: Tensor, sigmas: Tensor, noise: Noise, options: SamplerOptions) -> Sampling:
    """DPM-Solver-12/23 with steps as long as the error allows (app. C): orders two and three are compared.

    The number of model calls is not known beforehand; Point.step tells the share of the way done, of the steps asked.
    """
    if len(sigmas) < 2:
        return x
    eta = 1.0 if options.eta is None else options.eta
    start, end = _ends(sigmas)
    if not end > start:
        return (yield Point(x, float(sigmas[0]), 0)).x0
    stride = _Stride(order=1.5 if eta else 3.0)
    t, previous = start, x
    while t < end - END_MARGIN:
        t_next = torch.minimum(end, t + stride.length)
        reached, up = _split(t, t_next, end, eta)
        step = int((len(sigmas) - 1) * float((t - start) / (end - start)))
        high, low = yield from _solve(x, t, reached, 3, step)
        allowed = torch.clamp(RELATIVE_TOLERANCE * torch.maximum(low.abs(), previous.abs()), min=ABSOLUTE_TOLERANCE)
        error = float(torch.linalg.norm((low - high) / allowed)) / x.numel() ** 0.5
        if stride.accepts(error):
            previous = low
            x = high + up * options.s_noise * noise.next().to(x)
            t = t_next
    return x


class _Stride:
    """Length of the next step in t, steered by the last error (Soderlind 2003, with the integral term alone)."""

    def __init__(self, order: float) -> None:
        self.length = FIRST_STRIDE
        self._exponent = 1 / order

    def accepts(self, error: float) -> bool:
        """Whether the step just tried stands; sets the length of the next one either way."""
        factor = 1 + math.atan((1 / (error + 1e-8)) ** self._exponent - 1)
        self.length *= factor
        return factor >= ACCEPT_ABOVE
