"""Every schedule gives A1111's sigmas to the last bit."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from app.samplers import SCHEDULES, ScheduleInputs
from app.schema.choices import AUTOMATIC, SCHEDULE_NAMES, ScheduleName
from tests.samplers.formula import SD1, SIGMAS

INPUTS = ScheduleInputs(SD1, SD1.sigma_min, SD1.sigma_max)
RECORDED = [(schedule, steps) for schedule in SCHEDULE_NAMES for steps in (2, 4, 5, 10) if schedule.label != AUTOMATIC]


def golden(key: str) -> torch.Tensor:
    return torch.from_numpy(SIGMAS[key])


def test_both_tables_name_the_same_schedules_in_the_same_order() -> None:
    assert [AUTOMATIC, *SCHEDULES] == [schedule.label for schedule in SCHEDULE_NAMES]


@pytest.mark.parametrize(("schedule", "steps"), RECORDED, ids=lambda value: getattr(value, "name", value))
def test_a_schedule_is_the_recorded_one(schedule: ScheduleName, steps: int) -> None:
    sigmas = SCHEDULES[schedule.label](steps, replace(INPUTS, rho=schedule.default_rho))
    assert sigmas.dtype == torch.float32
    assert torch.equal(sigmas, golden(f"{schedule.name}_{steps}"))


@pytest.mark.parametrize(
    ("label", "inputs", "key"),
    [
        ("Karras", replace(INPUTS, rho=5.0), "karras_20_rho5"),
        ("Karras", replace(INPUTS, sigma_min=0.1, sigma_max=10.0), "karras_20_min0.1_max10"),
        ("Polyexponential", replace(INPUTS, rho=2.0), "polyexponential_20_rho2"),
        ("Beta", replace(INPUTS, beta_alpha=0.5, beta_beta=0.5), "beta_20_a0.5_b0.5"),
        ("Beta", replace(INPUTS, beta_alpha=1.0, beta_beta=0.8), "beta_20_a1.0_b0.8"),
    ],
)
def test_the_shape_of_a_curve_can_be_changed(label: str, inputs: ScheduleInputs, key: str) -> None:
    # PyTorch's powers round their last bit as the processor's vector unit has it (AVX2 and AVX-512 differ).
    torch.testing.assert_close(SCHEDULES[label](20, inputs), golden(key), rtol=2**-22, atol=0)


def test_align_your_steps_has_a_table_of_its_own_for_sdxl() -> None:
    sdxl = replace(INPUTS, model=replace(SD1, sdxl=True))
    assert torch.equal(SCHEDULES["Align Your Steps"](10, sdxl), golden("align_your_steps_sdxl_10"))


def test_eleven_aligned_steps_are_the_published_ones() -> None:
    sigmas = SCHEDULES["Align Your Steps"](11, INPUTS).tolist()
    expected = [14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029, 0]
    assert sigmas == pytest.approx(expected)


@pytest.mark.parametrize("label", list(SCHEDULES))
@pytest.mark.parametrize("steps", [1, 3, 20, 150])
def test_sigmas_fall_and_end_in_0_but_for_kl_optimal(label: str, steps: int) -> None:
    rho = 1.0 if label == "Polyexponential" else 7.0
    sigmas = SCHEDULES[label](steps, replace(INPUTS, rho=rho)).tolist()
    assert all(before > after for before, after in pairwise(sigmas))
    assert sigmas[-1] == (pytest.approx(SD1.sigma_min) if label == "KL Optimal" else 0)


@pytest.mark.parametrize(("steps", "count"), [(7, 9), (20, 21), (30, 32)])
def test_the_ddim_schedule_has_more_levels_where_1000_is_not_divisible(steps: int, count: int) -> None:
    assert len(SCHEDULES["DDIM"](steps, INPUTS)) == count


def test_no_steps_leave_nothing_but_the_end() -> None:
    for label in ("Uniform", "Karras", "Exponential", "Simple", "Normal", "Beta"):
        assert SCHEDULES[label](0, INPUTS).tolist() == [0]
