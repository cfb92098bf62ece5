"""Which noise levels a request walks: Automatic, discarded sigmas, overrides, img2img's share, the start."""

from __future__ import annotations

import json

import pytest
import torch

from app.samplers import ScheduleOptions, img2img_steps, plan, plan_img2img
from app.schema.choices import AUTOMATIC, SAMPLER_NAMES, SCHEDULE_NAMES
from app.schema.errors import UnknownChoice
from tests.samplers.formula import GOLDEN, SD1, SIGMAS

EVERY = [sampler.name for sampler in SAMPLER_NAMES]


def golden(key: str) -> torch.Tensor:
    return torch.from_numpy(SIGMAS[key])


def test_automatic_is_the_samplers_own_schedule_or_uniform() -> None:
    assert torch.equal(plan("DPM++ 2M", AUTOMATIC, 10, SD1).sigmas, golden("karras_10"))
    assert torch.equal(plan("DPM++ 2M SDE", AUTOMATIC, 10, SD1).sigmas, golden("exponential_10"))
    assert torch.equal(plan("Euler a", AUTOMATIC, 10, SD1).sigmas, golden("uniform_10"))


def test_names_may_be_aliases_and_unknown_ones_are_refused() -> None:
    assert torch.equal(plan("k_euler", "sgm_uniform", 10, SD1).sigmas, golden("sgm_uniform_10"))
    with pytest.raises(UnknownChoice):
        plan("Eulr", "Karras", 10, SD1)
    with pytest.raises(UnknownChoice):
        plan("Euler", "Karas", 10, SD1)


@pytest.mark.parametrize("name", ["DPM2", "DPM2 a", "DPM++ 3M SDE"])
def test_some_samplers_drop_the_sigma_before_the_last(name: str) -> None:
    one_more = plan("Euler", "Karras", 11, SD1).sigmas
    assert torch.equal(plan(name, "Karras", 10, SD1).sigmas, torch.cat([one_more[:-2], one_more[-1:]]))


def test_every_sampler_can_be_told_to_drop_it() -> None:
    always = ScheduleOptions(always_discard_next_to_last=True)
    dropped = plan("Euler", "Karras", 10, SD1, always).sigmas
    assert torch.equal(dropped, plan("DPM2", "Karras", 10, SD1).sigmas)
    assert torch.equal(plan("DPM2", "Karras", 10, SD1, always).sigmas, dropped)


def test_the_range_and_rho_can_be_overridden() -> None:
    ten = ScheduleOptions(sigma_min=0.1, sigma_max=10.0)
    assert torch.equal(plan("Euler", "Karras", 20, SD1, ten).sigmas, golden("karras_20_min0.1_max10"))
    old = ScheduleOptions(old_karras_range=True)
    assert torch.equal(plan("Euler", "Karras", 20, SD1, old).sigmas, golden("karras_20_min0.1_max10"))
    five = plan("Euler", "Karras", 20, SD1, ScheduleOptions(rho=5.0)).sigmas
    # PyTorch's power of 5 rounds its last bit as the processor's vector unit has it (AVX2 and AVX-512 differ).
    torch.testing.assert_close(five, golden("karras_20_rho5"), rtol=2**-22, atol=0)
    assert torch.equal(plan("Euler", "Uniform", 10, SD1, ten).sigmas, golden("uniform_10"))


def test_levels_that_coincide_are_walked_once() -> None:
    steep = plan("DPM++ 2M", "Polyexponential", 20, SD1, ScheduleOptions(rho=7.0)).sigmas
    assert len(steep) == 20
    assert (steep[:-1] > steep[1:]).all()


def test_lcm_walks_its_own_timesteps() -> None:
    assert torch.equal(plan("LCM", AUTOMATIC, 4, SD1).sigmas, golden("lcm_4"))


@pytest.mark.parametrize(("steps", "count", "first"), [(20, 20, 951), (7, 8, 995), (30, 31, 991), (5, 5, 801)])
def test_timestep_samplers_start_at_ddims_timesteps_and_ignore_the_schedule(steps: int, count: int, first: int) -> None:
    sigmas = plan("DDIM", "Karras", steps, SD1).sigmas
    assert len(sigmas) == count
    assert float(sigmas[0]) == float(SD1.sigmas[first])
    assert float(sigmas[-1]) == float(SD1.sigmas[1])


def test_unipc_walks_the_whole_range_in_as_many_steps_as_there_are_timesteps() -> None:
    sigmas = plan("UniPC", AUTOMATIC, 10, SD1).sigmas
    assert len(sigmas) == 11
    assert float(sigmas[0]) == pytest.approx(SD1.sigma_max)
    assert float(sigmas[-1]) == pytest.approx(SD1.sigma_min)
    assert SD1.sigma_to_t(sigmas).tolist() == pytest.approx([999 - 99.9 * k for k in range(11)], abs=1e-3)
    assert len(plan("UniPC", AUTOMATIC, 7, SD1).sigmas) == 9


@pytest.mark.parametrize("name", ["DPM fast", "DPM adaptive"])
def test_dpm_fast_and_adaptive_have_a_range_of_their_own(name: str) -> None:
    sigmas = plan(name, "Align Your Steps", 8, SD1).sigmas
    assert len(sigmas) == 9
    assert float(sigmas[0]) == pytest.approx(SD1.sigma_max)
    assert float(sigmas[-1]) == pytest.approx(SD1.sigma_min)


def test_the_steps_of_img2img_are_those_recorded() -> None:
    cases = json.loads((GOLDEN / "samplers_geometry.json").read_text())["img2img_steps"]
    for fix_steps, steps, denoise, explicit, total, start in cases:
        exact = fix_steps or explicit is not None
        assert img2img_steps(explicit or steps, denoise, exact_steps=exact) == (total, start)


@pytest.mark.parametrize(("strength", "walked"), [(0.2, 5), (0.5, 11), (0.75, 16), (1.0, 20)])
def test_img2img_walks_its_share_of_the_steps_and_one_more(strength: float, walked: int) -> None:
    whole = plan("Euler", "Karras", 20, SD1).sigmas
    sigmas = plan_img2img("Euler", "Karras", 20, strength, SD1).sigmas
    assert torch.equal(sigmas, whole[-walked - 1 :])


@pytest.mark.parametrize(("strength", "total"), [(0.2, 100), (0.5, 40), (0.75, 26), (1.0, 20)])
def test_the_hires_pass_walks_exactly_the_steps_asked_for(strength: float, total: int) -> None:
    sigmas = plan_img2img("Euler", "Karras", 20, strength, SD1, exact_steps=True).sigmas
    assert torch.equal(sigmas, plan("Euler", "Karras", total, SD1).sigmas[-21:])


def test_timestep_samplers_walk_fewer_and_start_one_level_below_their_noise() -> None:
    way = plan_img2img("DDIM", AUTOMATIC, 20, 0.75, SD1)
    assert len(way.sigmas) - 1 == 14
    assert float(way.sigmas[0]) == float(SD1.sigmas[701])
    assert way.noise_sigma == float(SD1.sigmas[751])
    unipc = plan_img2img("UniPC", AUTOMATIC, 20, 0.75, SD1)
    assert len(unipc.sigmas) - 1 == 15
    assert float(unipc.sigmas[0]) == pytest.approx(float(SD1.sigmas[701]))


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("strength", [0.0, 0.01, 0.5, 1.0])
@pytest.mark.parametrize("exact", [False, True])
def test_every_sampler_has_a_way_at_every_strength(name: str, strength: float, exact: bool) -> None:
    way = plan_img2img(name, AUTOMATIC, 4, strength, SD1, exact_steps=exact)
    assert len(way.sigmas) >= 1
    assert way.noise_sigma >= 0
    x = way.start(torch.ones(1, 4, 2, 2), torch.ones(1, 4, 2, 2))
    assert torch.isfinite(x).all()


@pytest.mark.parametrize("schedule", [schedule.label for schedule in SCHEDULE_NAMES])
def test_a_stretched_schedule_may_have_more_steps_than_the_model_has_levels(schedule: str) -> None:
    way = plan_img2img("Euler", schedule, 150, 0.05, SD1, exact_steps=True)
    assert len(way.sigmas) >= 2
    assert (way.sigmas[:-1] > way.sigmas[1:]).all()
    assert len(plan_img2img("DDIM", schedule, 150, 0.05, SD1, exact_steps=True).sigmas) == 149


def test_no_strength_at_all_leaves_the_latent_alone_in_the_hires_pass() -> None:
    latent = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(1))
    for name in ("Euler", "DDIM"):
        way = plan_img2img(name, AUTOMATIC, 20, 0.0, SD1, exact_steps=True)
        assert way.sigmas.tolist() == [0]
        assert torch.equal(way.start(torch.ones(1, 4, 4, 4), latent), latent)


def test_img2img_keeps_the_span_of_the_whole_schedule_for_brownian_noise() -> None:
    way = plan_img2img("DPM++ SDE", "Karras", 20, 0.3, SD1)
    assert float(way.sigmas[0]) < 3
    assert way.brownian_span == (pytest.approx(SD1.sigma_min), pytest.approx(SD1.sigma_max))


def test_the_start_is_noise_at_the_first_level() -> None:
    noise, sigma = torch.full((1, 4, 2, 2), 2.0), SD1.sigma_max
    way = plan("Euler", "Uniform", 20, SD1)
    assert float(way.start(noise)[0, 0, 0, 0]) == pytest.approx(2 * sigma)
    grown = way.start(noise, sgm_noise_multiplier=True)
    assert float(grown[0, 0, 0, 0]) == pytest.approx(2 * (1 + sigma**2) ** 0.5)
    first = float(SD1.sigmas[951])
    ddim = plan("DDIM", AUTOMATIC, 20, SD1).start(noise)
    assert float(ddim[0, 0, 0, 0]) / (1 + first**2) ** 0.5 == pytest.approx(2.0)


def test_the_start_of_img2img_lays_noise_on_the_latent() -> None:
    noise, latent = torch.full((1, 4, 2, 2), 2.0), torch.full((1, 4, 2, 2), 0.5)
    way = plan_img2img("Euler", "Karras", 20, 0.5, SD1)
    sigma = float(way.sigmas[0])
    assert float(way.start(noise, latent)[0, 0, 0, 0]) == pytest.approx(0.5 + 2 * sigma)
    assert float(way.start(noise, latent, extra_noise=0.1)[0, 0, 0, 0]) == pytest.approx(0.5 + 2 * (sigma + 0.1))
    ddim = plan_img2img("DDIM", AUTOMATIC, 20, 0.5, SD1)
    alpha = 1 / (1 + ddim.noise_sigma**2)
    preserved = ddim.start(noise, latent) / (1 + float(ddim.sigmas[0]) ** 2) ** 0.5
    assert float(preserved[0, 0, 0, 0]) == pytest.approx(alpha**0.5 * 0.5 + (1 - alpha) ** 0.5 * 2)
