"""The model's noise levels are A1111's to the last bit, and timesteps turn into sigmas and back."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from app.samplers import ModelSigmas
from app.samplers.model_sigmas import ZERO_SNR_LAST_ALPHA, zero_terminal_snr_alphas
from tests.samplers.formula import SD1, SIGMAS


def golden(key: str) -> torch.Tensor:
    return torch.from_numpy(SIGMAS[key])


def test_the_table_of_sd1_is_the_float32_one() -> None:
    assert torch.equal(SD1.sigmas, golden("sd15_sigmas"))
    assert SD1.sigma_min == pytest.approx(0.02916753, abs=5e-9)
    assert SD1.sigma_max == pytest.approx(14.614642, abs=1e-6)


def test_alphas_give_the_same_table_as_betas() -> None:
    assert torch.equal(ModelSigmas.from_alphas_cumprod(golden("sd15_alphas_cumprod_f64")).sigmas, SD1.sigmas)


def test_timesteps_become_sigmas() -> None:
    assert torch.equal(SD1.t_to_sigma(golden("t_to_sigma__t")), golden("t_to_sigma__sigma"))


def test_sigmas_become_timesteps_whole_ones_when_quantised() -> None:
    sigmas = golden("sigma_to_t__sigma")
    assert torch.equal(SD1.sigma_to_t(sigmas), golden("sigma_to_t__t"))
    quantised = replace(SD1, quantize=True).sigma_to_t(sigmas)
    assert torch.equal(quantised.long(), golden("sigma_to_t__t_quantized"))


def test_there_and_back_is_the_same_place_in_one_number_and_in_many() -> None:
    timesteps = torch.linspace(0, 999, 77, dtype=torch.float64)
    assert torch.allclose(SD1.sigma_to_t(SD1.t_to_sigma(timesteps)), timesteps, atol=1e-4)
    assert float(SD1.t_to_sigma(500.25)) == pytest.approx(float(SD1.t_to_sigma(torch.tensor([500.25]))[0]))
    assert float(SD1.sigma_to_t(1.0)) == pytest.approx(float(SD1.sigma_to_t(torch.tensor([[1.0]]))[0, 0]))


def test_what_lies_outside_the_models_range_is_its_end() -> None:
    assert float(SD1.sigma_to_t(100.0)) == 999
    assert float(SD1.sigma_to_t(1e-6)) == 0
    assert float(SD1.t_to_sigma(1500.0)) == pytest.approx(SD1.sigma_max)


def test_lcm_knows_fifty_timesteps() -> None:
    lcm = SD1.lcm()
    assert torch.equal(lcm.sigmas, golden("lcm_valid_sigmas"))
    assert [float(lcm.sigma_to_t(sigma)) for sigma in (lcm.sigma_min, 1.0, lcm.sigma_max)] == [19, 359, 999]
    assert float(lcm.t_to_sigma(19.0)) == pytest.approx(lcm.sigma_min)


def test_zero_terminal_snr_keeps_the_first_alpha_and_brings_the_last_to_nearly_nothing() -> None:
    alphas = 1 / (1 + SD1.sigmas**2)
    rescaled = zero_terminal_snr_alphas(alphas)
    assert float(rescaled[0]) == pytest.approx(float(alphas[0]))
    assert float(rescaled[-1]) == pytest.approx(ZERO_SNR_LAST_ALPHA)
    roots, expected = rescaled[500].sqrt(), (alphas[500].sqrt() - alphas[-1].sqrt())
    assert float(roots / expected) == pytest.approx(float(alphas[0].sqrt() / (alphas[0].sqrt() - alphas[-1].sqrt())))
    assert ModelSigmas.scaled_linear(zero_terminal_snr=True).sigma_max == pytest.approx(4518.76, abs=0.1)


def test_the_old_float16_table_is_k_diffusions_from_float16_alphas() -> None:
    old = ModelSigmas.scaled_linear(downcast=True)
    levels = old.t_to_sigma(torch.linspace(999, 0, 10))
    expected = [14.6090, 7.8349, 4.6104, 2.9191, 1.9503, 1.3447, 0.9321, 0.6250, 0.3686, 0.0313]
    assert levels.tolist() == pytest.approx(expected, abs=6e-5)
    assert old.sigma_to_t(torch.tensor([0.1, 3.0, 14.0])).tolist() == pytest.approx(
        [10.2564, 673.2448, 992.0493], abs=6e-5
    )
