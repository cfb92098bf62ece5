"""Every sampler gives the numbers that k-diffusion and A1111 gave for the same model, schedule and noise."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from app.samplers import SAMPLERS, Sampler, SamplerOptions, model_calls, plan
from app.samplers.multistep import lms
from app.samplers.unipc import unipc_timesteps
from tests.samplers.formula import GOLDEN, SD1, SD1_FLOAT64, SIGMAS, X_NOISE, BankNoise, difference, drive, rows

CASES = np.load(GOLDEN / "samplers_cases.npz")
MORE = np.load(GOLDEN / "samplers_more.npz")
NAMES = {
    "euler": "Euler",
    "euler_ancestral": "Euler a",
    "heun": "Heun",
    "dpm_2": "DPM2",
    "dpm_2_ancestral": "DPM2 a",
    "lms": "LMS",
    "dpmpp_2s_ancestral": "DPM++ 2S a",
    "dpmpp_sde": "DPM++ SDE",
    "dpmpp_2m": "DPM++ 2M",
    "dpmpp_2m_sde": "DPM++ 2M SDE",
    "dpmpp_3m_sde": "DPM++ 3M SDE",
    "restart": "Restart",
    "dpm_fast": "DPM fast",
    "ddim": "DDIM",
    "ddim_cfgpp": "DDIM CFG++",
    "plms": "PLMS",
    "unipc": "UniPC",
    "lcm": "LCM",
}
# UniPC and parts of DDIM and PLMS ran in float32 when they were recorded.
TOLERANCES = {"UniPC": 1e-5, "DDIM": 1e-6, "DDIM CFG++": 1e-6, "PLMS": 1e-6}


def _sigmas(case: dict[str, Any]) -> torch.Tensor:
    if case["sampler"] == "unipc":
        skip_type = case["options"].get("skip_type", "time_uniform")
        timesteps = unipc_timesteps(SD1_FLOAT64, 999.0, case["steps"], skip_type)
        return SD1_FLOAT64.t_to_sigma(torch.tensor(timesteps, dtype=torch.float64))
    if "timesteps" in case:
        return SD1_FLOAT64.sigmas[torch.from_numpy(SIGMAS[case["timesteps"]])].flip(0)
    if case["sampler"] == "dpm_fast":
        return torch.tensor([case["sigma_max"]] + [case["sigma_min"]] * case["steps"])
    return torch.from_numpy(SIGMAS[case["sigmas"]]).double()


def _sampler(case: dict[str, Any]) -> Sampler:
    if case["options"].get("solver_type") == "heun":
        return SAMPLERS["DPM++ 2M SDE Heun"]
    if case["sampler"] == "lms" and "order" in case["options"]:
        return partial(lms, order=case["options"]["order"])
    return SAMPLERS[NAMES[case["sampler"]]]


def _options(case: dict[str, Any]) -> SamplerOptions:
    given = case["options"]
    plain = {name: given[name] for name in ("eta", "s_churn", "s_tmin", "s_tmax", "s_noise") if name in given}
    if case["sampler"] == "unipc":
        plain |= {f"unipc_{name}": given[name] for name in ("variant", "order", "lower_order_final") if name in given}
    return SamplerOptions(model=SD1_FLOAT64, **plain)


@pytest.mark.parametrize("case", rows("samplers_cases.json"), ids=lambda case: case["id"])
def test_a_sampler_ends_where_the_reference_did(case: dict[str, Any]) -> None:
    sigmas, noise = _sigmas(case), BankNoise()
    start = (1 + sigmas[0] ** 2) ** 0.5 if "timesteps" in case else sigmas[0]
    result, points = drive(_sampler(case)(X_NOISE * start, sigmas, noise, _options(case)))
    assert result.dtype == torch.float64
    assert difference(result, CASES[f"final/{case['id']}"]) < TOLERANCES.get(NAMES[case["sampler"]], 1e-9)
    assert len(points) == case["nfe"]
    if f"steps/{case['id']}" in CASES and "timesteps" not in case:
        starts = {point.step: point.x for point in reversed(points)}
        for step, golden in enumerate(CASES[f"steps/{case['id']}"]):
            assert difference(starts[step], golden) < 1e-9
    if case["noise_calls"] and noise.calls:
        assert noise.calls == case["noise_calls"]


@pytest.mark.parametrize("case", rows("samplers_more.json"), ids=lambda case: case["id"])
def test_longer_ways_end_where_the_reference_did(case: dict[str, Any]) -> None:
    """Restarts, DPM fast, DPM adaptive and twenty steps of some others, recorded by running the originals."""
    name = case["sampler"]
    own_range = name in ("DPM fast", "DPM adaptive")
    sigmas = plan(name if own_range else "Euler", "Uniform", case["steps"], SD1).sigmas
    if not own_range:
        sigmas = sigmas.double()
    noise = BankNoise()
    result, points = drive(SAMPLERS[name](X_NOISE * sigmas[0], sigmas, noise, SamplerOptions(eta=case["eta"])))
    assert difference(result, MORE[f"final/{case['id']}"]) < (1e-6 if own_range else 1e-9)
    assert len(points) == case["nfe"]
    assert model_calls(name, sigmas) in (case["nfe"], None)
    if case["eta"] != 0:
        assert noise.calls == case["noise_calls"]
