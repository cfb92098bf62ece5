"""Repainting holds what is outside the mask at each step, in the two ways that A1111 does it."""

from __future__ import annotations

from collections.abc import Generator

import pytest
import torch
from torch import Tensor

from app.recipes.repaint import repainted
from app.samplers import Denoised, Point

LATENT = torch.full((1, 4, 2, 2), 5.0)
MASK = torch.tensor([[[[1.0, 0.0], [0.5, 0.0]]]])


def walk(seen: list[Tensor]) -> Generator[Point, Denoised, Tensor]:
    """Two steps; keeps the noise directions it was told of."""
    x = torch.full((1, 4, 2, 2), 10.0)
    for step, sigma in enumerate((3.0, 1.0)):
        denoised = yield Point(x, sigma, step)
        seen.append((x - denoised.x0) / sigma)
    return x


def test_the_answer_is_held_and_the_end_is_the_samplers_own() -> None:
    seen: list[Tensor] = []
    walked = repainted(walk(seen), LATENT, MASK, before=False)
    answer = Denoised(torch.zeros(1, 4, 2, 2), torch.zeros(1, 4, 2, 2))
    point = next(walked)
    assert (point.x == 10).all()
    walked.send(answer)
    assert torch.equal(10 - 3 * seen[0], (LATENT * (1 - MASK)).expand(1, 4, 2, 2))
    with pytest.raises(StopIteration) as end:
        walked.send(answer)
    assert (end.value.value == 10).all()


def test_before_the_model_sees_the_clean_latent_and_the_sampler_the_models_noise() -> None:
    seen: list[Tensor] = []
    walked = repainted(walk(seen), LATENT, MASK, before=True)
    point = next(walked)
    growth = 10**0.5
    assert torch.allclose(point.x, 10 * MASK + LATENT * growth * (1 - MASK))
    noise = torch.randn(1, 4, 2, 2)
    told = point.x - 3 * noise
    walked.send(Denoised(told, told))
    assert torch.allclose(seen[0], noise, atol=1e-5)
