"""What the fields of a request do to the levels, the noise and the sampler of a picture."""

import pytest
import torch

from app.models import SD1
from app.recipes import ModelFacts
from app.recipes.path import own_levels, require_falling, sampler_options, schedule_options
from app.samplers import ModelSigmas, plan
from app.schema.errors import InvalidField
from app.schema.request import GenerationRequest

SIGMAS = ModelSigmas.scaled_linear()
FACTS = ModelFacts(SIGMAS, 1 / (1 + SIGMAS.sigmas**2), 4, 4, 8, SD1, "cpu")


def path(sampler="Euler", schedule="Karras", steps=10, **fields):
    request = GenerationRequest(sampler=sampler, schedule=schedule, steps=steps, **fields)
    return plan(sampler, schedule, steps, own_levels(request, FACTS) or SIGMAS, schedule_options(request))


def test_a_request_that_says_nothing_takes_the_models_levels():
    assert own_levels(GenerationRequest(), FACTS) is None


def test_the_range_of_a_schedule_can_be_set():
    sigmas = path(sigma_min=0.1, sigma_max=10).sigmas
    assert (round(float(sigmas[0]), 4), round(float(sigmas[-2]), 4)) == (10.0, 0.1)
    assert torch.equal(sigmas, path(old_karras_sigmas=True).sigmas)


def test_rho_bends_it():
    assert torch.equal(path(rho=7).sigmas, path().sigmas)
    assert path(rho=3).sigmas[5] > path().sigmas[5]


def test_the_next_to_last_sigma_can_be_left_out_for_every_sampler():
    whole = path(steps=11).sigmas
    assert torch.equal(path(discard_next_to_last_sigma=True).sigmas, torch.cat([whole[:-2], whole[-1:]]))


def test_zero_terminal_snr_starts_from_nothing_but_noise():
    sigmas = path(schedule="Uniform", noise_schedule="Zero Terminal SNR").sigmas
    assert float(sigmas[0]) == pytest.approx(4518.8, rel=1e-4)


def test_whole_timesteps_belong_to_the_request_and_not_to_the_model():
    levels = own_levels(GenerationRequest(quantize_timesteps=True), FACTS)
    timestep = float(levels.sigma_to_t(2.0))
    assert timestep == round(timestep)
    assert float(SIGMAS.sigma_to_t(2.0)) != timestep


def test_levels_in_half_precision_are_a_little_off():
    levels = own_levels(GenerationRequest(downcast_alphas=True), FACTS)
    assert not torch.equal(levels.sigmas, SIGMAS.sigmas)
    assert torch.allclose(levels.sigmas, SIGMAS.sigmas, rtol=0.2)


def test_the_sampler_is_told_all_that_concerns_it():
    request = GenerationRequest(
        unipc_variant="bh2",
        unipc_order=2,
        unipc_lower_order_final=False,
        unipc_skip_type="logSNR",
        eta=0.5,
        s_noise=1.1,
    )
    options = sampler_options(request, path("UniPC", unipc_skip_type="logSNR"), SIGMAS)
    assert (options.unipc_variant, options.unipc_order, options.unipc_lower_order_final) == ("bh2", 2, False)
    assert (options.unipc_skip_type, options.eta, options.s_noise, options.model) == ("logSNR", 0.5, 1.1, SIGMAS)


def test_levels_that_rise_are_refused_in_words():
    with pytest.raises(InvalidField, match="does not fall") as caught:
        require_falling(path(sigma_min=20.0))
    assert caught.value.field == "sigma_max"
    assert require_falling(path()).sigmas is not None
