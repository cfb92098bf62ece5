"""Which function stands behind each sampler's name, and how often it calls the model.

The names and what front ends need to know of them stand in `app.schema.choices`.
"""

from __future__ import annotations

from torch import Tensor

from app.samplers import dpm_plus, dpm_solver, euler, lcm, multistep, second_order, timestep, unipc
from app.samplers.sampler import Sampler
from app.schema.choices import SAMPLER_NAMES

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

_SECOND_ORDER = frozenset(name.name for name in SAMPLER_NAMES if name.second_order)


def calls_planned(sampler: str, steps: int) -> int:
    """Model calls that prompt schedules reckon with: steps, or twice as many for a second-order sampler.

    This is A1111's count, from the steps of the request; `model_calls` is the true one.
    """
    return steps * 2 if sampler in _SECOND_ORDER else steps


def model_calls(sampler: str, sigmas: Tensor) -> int | None:
    """How many Points the sampler will yield on these sigmas; None for DPM adaptive, which decides as it goes."""
    steps = len(sigmas) - 1
    if sampler == "DPM adaptive":
        return None
    if sampler == "Restart":
        steps = len(second_order.restart_steps(sigmas))
    if steps < 1:
        return 0
    if sampler == "PLMS":
        return steps + 1
    if sampler in _SECOND_ORDER:
        return 2 * steps - int(sigmas[-1] == 0)
    return steps
