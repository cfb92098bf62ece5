"""What holds for every sampler: it is a generator that asks, takes what it is given and keeps its hands off it."""

from __future__ import annotations

import inspect
from dataclasses import replace

import pytest
import torch

from app.samplers import (
    SAMPLERS,
    Denoised,
    ImageNoise,
    Plan,
    Point,
    SamplerOptions,
    Sampling,
    calls_planned,
    model_calls,
    plan,
)
from app.schema.choices import AUTOMATIC, SAMPLER_NAMES
from tests.samplers.formula import MU, SD1, X_NOISE, BankNoise, denoise, drive

EVERY = [sampler.name for sampler in SAMPLER_NAMES]


def begin(name: str, steps: int = 6, dtype: torch.dtype = torch.float64) -> tuple[Plan, Sampling]:
    way = plan(name, AUTOMATIC, steps, SD1)
    options = SamplerOptions(model=SD1, brownian_span=way.brownian_span)
    return way, SAMPLERS[name](way.start(X_NOISE.to(dtype)), way.sigmas, BankNoise(), options)


def test_both_tables_name_the_same_samplers_in_the_same_order() -> None:
    assert list(SAMPLERS) == EVERY


@pytest.mark.parametrize("name", EVERY)
def test_nothing_is_computed_before_the_first_point_and_a_sampler_can_be_closed_early(name: str) -> None:
    _, sampling = begin(name)
    assert inspect.getgeneratorstate(sampling) == inspect.GEN_CREATED
    point = next(sampling)
    assert isinstance(point, Point)
    sampling.send(Denoised(denoise(point.x, point.sigma), denoise(point.x, point.sigma)))
    sampling.close()
    assert inspect.getgeneratorstate(sampling) == inspect.GEN_CLOSED


@pytest.mark.parametrize("name", EVERY)
def test_an_exception_thrown_in_leaves_at_once(name: str) -> None:
    _, sampling = begin(name)
    next(sampling)
    with pytest.raises(KeyboardInterrupt):
        sampling.throw(KeyboardInterrupt())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", EVERY)
def test_points_and_result_keep_the_dtype_and_shape_of_x(name: str, dtype: torch.dtype) -> None:
    _, sampling = begin(name, dtype=dtype)
    result, points = drive(sampling)
    assert {point.x.dtype for point in points} == {dtype}
    assert {point.x.shape for point in points} == {X_NOISE.shape}
    assert result.dtype == dtype
    assert result.shape == X_NOISE.shape


@pytest.mark.parametrize("steps", [1, 2, 3, 6, 20, 37])
@pytest.mark.parametrize("name", [name for name in EVERY if name != "DPM adaptive"])
def test_the_number_of_points_is_known_beforehand(name: str, steps: int) -> None:
    way, sampling = begin(name, steps)
    _, points = drive(sampling)
    assert len(points) == model_calls(name, way.sigmas)


def test_only_dpm_adaptive_decides_as_it_goes() -> None:
    assert model_calls("DPM adaptive", plan("DPM adaptive", AUTOMATIC, 20, SD1).sigmas) is None


@pytest.mark.parametrize("name", EVERY)
def test_sigma_is_a_plain_number_above_0_and_steps_count_up_from_0(name: str) -> None:
    way, sampling = begin(name, 12)
    _, points = drive(sampling)
    assert {type(point.sigma) for point in points} == {float}
    assert min(point.sigma for point in points) > 0
    assert points[0].sigma == pytest.approx(float(way.sigmas[0]), rel=1e-6)
    steps = [point.step for point in points]
    assert steps == sorted(steps)
    assert steps[0] == 0
    assert steps[-1] <= len(way.sigmas) - 1


@pytest.mark.parametrize("name", EVERY)
def test_neither_the_latent_nor_the_answers_are_written_to(name: str) -> None:
    way = plan(name, AUTOMATIC, 6, SD1)
    x = way.start(X_NOISE)
    kept = [(x, x.clone())]
    sampling = SAMPLERS[name](x, way.sigmas, BankNoise(), SamplerOptions(model=SD1))
    point = next(sampling)
    while True:
        kept.append((point.x, point.x.clone()))
        answer = Denoised(denoise(point.x, point.sigma), denoise(point.x, point.sigma, 0.5))
        kept += [(answer.x0, answer.x0.clone())]
        try:
            point = sampling.send(answer)
        except StopIteration:
            break
    assert all(torch.equal(tensor, copy) for tensor, copy in kept)


@pytest.mark.parametrize("name", [name for name in EVERY if name != "DDIM CFG++"])
def test_many_steps_of_a_model_sure_of_its_picture_end_at_the_picture(name: str) -> None:
    """Timestep samplers and DPM fast stop at a small sigma and keep that much of the noise."""
    way = plan(name, AUTOMATIC, 50, SD1)
    sampling = SAMPLERS[name](way.start(X_NOISE), way.sigmas, BankNoise(), SamplerOptions(model=SD1))
    answer: Denoised | None = None
    while True:
        try:
            next(sampling) if answer is None else sampling.send(answer)
        except StopIteration as end:
            result = end.value
            break
        answer = Denoised(MU)
    assert torch.allclose(result, MU, atol=0.25 if float(way.sigmas[-1]) > 0 else 1e-6)


@pytest.mark.parametrize("name", EVERY)
def test_the_same_seed_gives_the_same_bits(name: str) -> None:
    def picture(seed: int) -> torch.Tensor:
        way = plan(name, AUTOMATIC, 5, SD1)
        noise = ImageNoise(seed, (4, 8, 8))
        options = SamplerOptions(model=SD1, eta=1.0)
        return drive(SAMPLERS[name](way.start(noise.first_noise()), way.sigmas, noise, options))[0]

    assert torch.equal(picture(7), picture(7))
    assert not torch.equal(picture(7), picture(8))


@pytest.mark.parametrize("name", EVERY)
def test_a_schedule_without_steps_gives_the_latent_back(name: str) -> None:
    sampling = SAMPLERS[name](X_NOISE, torch.zeros(1), BankNoise(), SamplerOptions(model=SD1))
    result, points = drive(sampling)
    assert points == []
    assert torch.equal(result, X_NOISE)


@pytest.mark.parametrize("name", [sampler.name for sampler in SAMPLER_NAMES if sampler.brownian])
def test_sde_samplers_span_their_path_over_the_whole_schedule(name: str) -> None:
    sigmas = plan(name, AUTOMATIC, 10, SD1).sigmas
    noise = BankNoise()
    drive(SAMPLERS[name](X_NOISE, sigmas, noise, SamplerOptions()))
    assert noise.span == (float(sigmas[-2]), float(sigmas[0]))
    drive(SAMPLERS[name](X_NOISE, sigmas[4:], noise, SamplerOptions(brownian_span=(0.02, 14.5))))
    assert noise.span == (0.02, 14.5)


def test_churn_draws_at_every_step_but_acts_only_between_its_limits() -> None:
    sigmas = plan("Euler", "Karras", 10, SD1).sigmas.double()
    plain = [point.sigma for point in drive(SAMPLERS["Euler"](X_NOISE, sigmas, BankNoise(), SamplerOptions()))[1]]
    noise = BankNoise()
    options = SamplerOptions(s_churn=5.0, s_tmin=1.0, s_tmax=6.0)
    churned = [point.sigma for point in drive(SAMPLERS["Euler"](X_NOISE, sigmas, noise, options))[1]]
    assert noise.calls == 10
    factors = [after / before for before, after in zip(plain, churned, strict=True)]
    expected = [1.41421356 if 1.0 <= sigma <= 6.0 else 1.0 for sigma in plain]
    assert factors == pytest.approx(expected)
    no_limit = drive(SAMPLERS["Euler"](X_NOISE, sigmas, BankNoise(), SamplerOptions(s_churn=5.0)))[1]
    assert no_limit[0].sigma == pytest.approx(plain[0] * 1.41421356)


def test_eta_is_1_for_ancestral_samplers_and_0_for_ddim_unless_given() -> None:
    def result(name: str, eta: float | None) -> torch.Tensor:
        way = plan(name, AUTOMATIC, 5, SD1)
        return drive(SAMPLERS[name](way.start(X_NOISE), way.sigmas, BankNoise(), SamplerOptions(eta=eta)))[0]

    assert torch.equal(result("Euler a", None), result("Euler a", 1.0))
    assert torch.equal(result("DDIM", None), result("DDIM", 0.0))
    assert not torch.equal(result("DDIM", None), result("DDIM", 1.0))


def test_prompt_schedules_reckon_with_two_calls_a_step_for_second_order_samplers() -> None:
    assert calls_planned("Euler", 20) == 20
    assert calls_planned("DPM++ SDE", 20) == 40
    assert calls_planned("Restart", 20) == 40
    assert calls_planned("DPM fast", 20) == 20


def test_lcm_asks_for_its_fifty_timesteps_and_the_others_leave_the_timestep_to_the_model() -> None:
    _, points = drive(begin("LCM", 4)[1])
    assert [point.timestep for point in points] == [999.0, 679.0, 339.0, 19.0]
    assert {point.timestep for point in drive(begin("Euler", 4)[1])[1]} == {None}


def test_unipc_asks_for_fractions_of_timesteps_even_of_a_model_that_rounds_them() -> None:
    rounding = replace(SD1, quantize=True)
    way = plan("UniPC", AUTOMATIC, 8, rounding)
    sampling = SAMPLERS["UniPC"](way.start(X_NOISE), way.sigmas, BankNoise(), SamplerOptions(model=rounding))
    timesteps = [point.timestep for point in drive(sampling)[1]]
    assert timesteps == pytest.approx([999 - 999 / 8 * k for k in range(8)], abs=1e-3)


def test_what_a_sampler_lacks_is_named() -> None:
    sigmas = plan("Euler", "Karras", 4, SD1).sigmas
    for name in ("LCM", "UniPC"):
        with pytest.raises(ValueError, match=name):
            next(SAMPLERS[name](X_NOISE, sigmas, BankNoise(), SamplerOptions()))
    sampling = SAMPLERS["DDIM CFG++"](X_NOISE, sigmas[:-1], BankNoise(), SamplerOptions())
    point = next(sampling)
    with pytest.raises(ValueError, match="uncond_x0"):
        sampling.send(Denoised(point.x))
    with pytest.raises(ValueError, match="bh1, bh2"):
        drive(SAMPLERS["UniPC"](X_NOISE, sigmas[:-1], BankNoise(), SamplerOptions(model=SD1, unipc_variant="bh3")))
