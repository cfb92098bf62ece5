"""Which function stands behind the name of each sampler and schedule, and how often a sampler calls the model.

The names and what front ends need to know of them stand in `app.schema.choices`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from app.samplers import dpm_plus, dpm_solver, euler, lcm, multistep, second_order, timestep, unipc
from app.samplers.sampler import Sampler
from app.samplers.schedules import SCHEDULES, Schedule
from app.schema.choices import BUILT_IN, Choices, find_sampler

SAMPLERS: dict[str, Sampler] = {
    "DPM++ 2M": dpm_plus.dpmpp_2m,
    "DPM++ SDE": dpm_plus.dpmpp_sde,
    "DPM++ 2M SDE": dpm_plus.dpmpp_2m_sde,
    "DPM++ 2M SDE Heun": dpm_plus.dpmpp_2m_sde_heun,
    "DPM++ 2S a": dpm_plus.dpmpp_2s_ancestral,
    "DPM++ 3M SDE": dpm_plus.dpmpp_3m_sde,
    "Euler a": euler.euler_ancestral,
    "Euler": euler.euler,
    "LMS": multistep.lms,
    "Heun": second_order.heun,
    "DPM2": second_order.dpm2,
    "DPM2 a": second_order.dpm2_ancestral,
    "DPM fast": dpm_solver.dpm_fast,
    "DPM adaptive": dpm_solver.dpm_adaptive,
    "Restart": second_order.restart,
    "DDIM": timestep.ddim,
    "DDIM CFG++": timestep.ddim_cfg_plus_plus,
    "PLMS": timestep.plms,
    "UniPC": unipc.unipc,
    "LCM": lcm.lcm,
}


@dataclass(frozen=True)
class Tables:
    """What there is on this machine: samplers and schedules by the names and labels in `choices`."""

    choices: Choices
    samplers: Mapping[str, Sampler]
    schedules: Mapping[str, Schedule]


BUILT_IN_TABLES = Tables(BUILT_IN, SAMPLERS, SCHEDULES)
"""What comes with the program."""


def calls_planned(sampler: str, steps: int, choices: Choices = BUILT_IN) -> int:
    """Model calls that prompt schedules reckon with: steps, or twice as many for a second-order sampler.

    This is A1111's count, from the steps of the request; `model_calls` is the true one.
    """
    return steps * 2 if find_sampler(sampler, choices).second_order else steps


def model_calls(sampler: str, sigmas: Tensor, choices: Choices = BUILT_IN) -> int | None:
    """How many Points the sampler will yield on these sigmas; None for DPM adaptive, which decides as it goes.

    Of an extension's sampler: what one of its order usually does.
    """
    steps = len(sigmas) - 1
    if sampler == "DPM adaptive":
        return None
    if sampler == "Restart":
        steps = len(second_order.restart_steps(sigmas))
    if steps < 1:
        return 0
    if sampler == "PLMS":
        return steps + 1
    if find_sampler(sampler, choices).second_order:
        return 2 * steps - int(sigmas[-1] == 0)
    return steps
