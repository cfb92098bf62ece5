"""Noise, targets and loss weights are the closed forms of the papers."""

from __future__ import annotations

import math

import pytest
import torch

from app.models import SD1, alphas_cumprod
from app.training.objective import Prediction, add_noise, denoised, mean_squared_error, min_snr_weight, target

ALPHAS = alphas_cumprod(SD1)
TIMES = torch.tensor([0, 500, 999])
LATENT = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(1))
NOISE = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(2))
PREDICTIONS: tuple[Prediction, ...] = ("epsilon", "v")


def share_of_signal(t: int) -> float:
    """Stable Diffusion's product of 1 - beta, betas linear in their roots, in Python's own floats."""
    first, last = math.sqrt(0.00085), math.sqrt(0.012)
    return math.prod(1 - (first + (last - first) * number / 999) ** 2 for number in range(t + 1))


def test_a_noised_latent_is_signal_and_noise_in_their_shares() -> None:
    x = add_noise(LATENT, NOISE, ALPHAS, TIMES)
    for row, t in enumerate(TIMES.tolist()):
        a = share_of_signal(t)
        torch.testing.assert_close(x[row], math.sqrt(a) * LATENT[row] + math.sqrt(1 - a) * NOISE[row])


def test_epsilon_is_the_noise_itself() -> None:
    assert torch.equal(target(LATENT, NOISE, ALPHAS, TIMES, "epsilon"), NOISE)


def test_v_turns_with_the_noise_and_gives_latent_and_noise_back() -> None:
    x, v = add_noise(LATENT, NOISE, ALPHAS, TIMES), target(LATENT, NOISE, ALPHAS, TIMES, "v")
    a = ALPHAS[TIMES].view(-1, 1, 1, 1)
    torch.testing.assert_close(a.sqrt() * x - (1 - a).sqrt() * v, LATENT)
    torch.testing.assert_close((1 - a).sqrt() * x + a.sqrt() * v, NOISE)
    torch.testing.assert_close(x.pow(2) + v.pow(2), LATENT.pow(2) + NOISE.pow(2))


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_right_answer_gives_the_latent_back_at_every_step(prediction: Prediction) -> None:
    x, answer = (
        add_noise(LATENT, NOISE, ALPHAS, TIMES),
        target(LATENT, NOISE, ALPHAS, TIMES, prediction),
    )
    torch.testing.assert_close(denoised(x, answer, ALPHAS, TIMES, prediction), LATENT, rtol=1e-4, atol=2e-5)


def test_the_min_snr_weights_are_those_of_the_paper_at_both_ends_and_in_the_middle() -> None:
    shares = [share_of_signal(t) for t in TIMES.tolist()]
    ratios = [a / (1 - a) for a in shares]
    epsilon, v = (min_snr_weight(ALPHAS, TIMES, 5.0, prediction).tolist() for prediction in PREDICTIONS)
    assert epsilon == pytest.approx([min(snr, 5) / snr for snr in ratios], rel=1e-4)
    assert v == pytest.approx([min(snr, 5) / (snr + 1) for snr in ratios], rel=1e-4)
    # 1175 times more signal than noise at the first step, two fifths in the middle, one part in 214 at the last.
    assert epsilon == pytest.approx([0.00425, 1.0, 1.0], abs=1e-5)
    assert v == pytest.approx([0.00425, 0.27633, 0.00466], abs=1e-5)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_no_step_has_a_weight_that_is_not_a_number(prediction: Prediction) -> None:
    for alphas in (ALPHAS, alphas_cumprod(SD1, zero_terminal_snr=True)):
        weights = min_snr_weight(alphas, torch.arange(1000), 5.0, prediction)
        assert weights.shape == (1000,)
        assert weights.dtype == torch.float32
        assert bool((weights.isfinite() & (weights > 0) & (weights <= 1)).all())


def test_a_limit_beyond_every_ratio_weighs_all_epsilon_alike() -> None:
    assert torch.equal(min_snr_weight(ALPHAS, torch.arange(1000), 1e9, "epsilon"), torch.ones(1000))


def test_the_loss_weighs_samples_not_pixels() -> None:
    answer, wanted = torch.zeros(2, 1, 2, 2), torch.stack([torch.full((1, 2, 2), 1.0), torch.full((1, 2, 2), 3.0)])
    assert mean_squared_error(answer, wanted).item() == 5.0
    assert mean_squared_error(answer, wanted, torch.tensor([4.0, 0.5])).item() == (4 * 1 + 0.5 * 9) / 2


def test_the_loss_of_half_precision_is_taken_in_full() -> None:
    answer = torch.full((1, 1, 64, 64), 1.0, dtype=torch.bfloat16)
    loss = mean_squared_error(answer, torch.full((1, 1, 64, 64), 1.001))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(1e-6, rel=1e-3)
