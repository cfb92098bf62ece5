"""A model whose denoiser is a formula, noise from a bank, and the golden numbers measured with both.

Per element the data are N(mu, 0.5^2); the golden files say what k-diffusion and A1111 made of them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from app.samplers import BrownianNoise, Denoised, ModelSigmas, Point, Sampling

GOLDEN = Path(__file__).parent.parent / "golden"
INPUTS = np.load(GOLDEN / "samplers_inputs.npz")
SIGMAS = np.load(GOLDEN / "samplers_sigmas.npz")

MU = torch.from_numpy(INPUTS["mu"])
X_NOISE = torch.from_numpy(INPUTS["x_noise"]).double()
NOISE_BANK = torch.from_numpy(INPUTS["noise_bank"]).double()
SD1 = ModelSigmas.scaled_linear()
SD1_FLOAT64 = ModelSigmas(torch.from_numpy(SIGMAS["sd15_sigmas_f64"]))


def rows(file: str) -> list[dict[str, Any]]:
    """The entries of a golden JSON list."""
    entries: list[dict[str, Any]] = json.loads((GOLDEN / file).read_text())
    return entries


def denoise(x: Tensor, sigma: float, mean: float = 1.0) -> Tensor:
    """The exact denoised latent for data around mean * mu."""
    return (0.25 * x + sigma**2 * mean * MU.to(x)) / (0.25 + sigma**2)


class BankNoise:
    """The k-th call gets the k-th draw of the bank, whatever it asks for."""

    def __init__(self) -> None:
        self.calls = 0
        self.span: tuple[float, float] | None = None

    def next(self) -> Tensor:
        self.calls += 1
        return NOISE_BANK[self.calls - 1]

    def brownian(self, sigma_min: float, sigma_max: float) -> BrownianNoise:
        self.span = (sigma_min, sigma_max)
        return lambda sigma, sigma_next: self.next()


def drive(sampling: Sampling) -> tuple[Tensor, list[Point]]:
    """Answer every Point by the formula; the unconditional one has half the mean."""
    points: list[Point] = []
    answer: Denoised | None = None
    while True:
        try:
            point = next(sampling) if answer is None else sampling.send(answer)
        except StopIteration as end:
            return end.value, points
        points.append(point)
        answer = Denoised(denoise(point.x, point.sigma), denoise(point.x, point.sigma, 0.5))


def difference(got: Tensor, golden: np.ndarray) -> float:
    """Largest deviation of every fourth value from the golden ones, relative to the largest of those."""
    return float(np.abs(got.double().flatten()[::4].numpy() - golden).max() / np.abs(golden).max())
