"""Names and aliases of samplers, schedules and other fixed choices, in AUTOMATIC1111's order.

Facts without torch: the functions behind the names live in `app.samplers`.
"""

from __future__ import annotations

from typing import NamedTuple


class SamplerName(NamedTuple):
    """One sampler as every front end sees it (a1111-facts 3.1).

    default_schedule: label used when the schedule is Automatic, "" for Uniform.
    second_order: two model calls a step. ancestral: reads eta and ENSD. brownian: draws Brownian-tree noise.
    discard_next_to_last: computes one sigma more and drops the one before the last. timestep: works on
    DDIM's integer timesteps and ignores the schedule.
    """

    name: str
    aliases: tuple[str, ...] = ()
    default_schedule: str = ""
    second_order: bool = False
    ancestral: bool = False
    brownian: bool = False
    discard_next_to_last: bool = False
    timestep: bool = False


class ScheduleName(NamedTuple):
    """One schedule: label in the page, name and aliases in the API."""

    label: str
    name: str
    aliases: tuple[str, ...] = ()
    default_rho: float = -1.0
    needs_model: bool = False


AUTOMATIC = "Automatic"
DEFAULT_SAMPLER = "DPM++ 2M"
EMPHASIS_MODES = ("Original", "No norm", "Ignore", "None")
NOISE_SOURCES = ("CPU", "GPU", "NV")
PRECISIONS = ("fp32", "bf16", "fp16")

SAMPLER_NAMES: tuple[SamplerName, ...] = (
    SamplerName("DPM++ 2M", ("k_dpmpp_2m",), "Karras"),
    SamplerName("DPM++ SDE", ("k_dpmpp_sde",), "Karras", second_order=True, brownian=True),
    SamplerName("DPM++ 2M SDE", ("k_dpmpp_2m_sde",), "Exponential", brownian=True),
    SamplerName("DPM++ 2M SDE Heun", ("k_dpmpp_2m_sde_heun",), "Exponential", brownian=True),
    SamplerName("DPM++ 2S a", ("k_dpmpp_2s_a",), "Karras", second_order=True, ancestral=True),
    SamplerName("DPM++ 3M SDE", ("k_dpmpp_3m_sde",), "Exponential", brownian=True, discard_next_to_last=True),
    SamplerName("Euler a", ("k_euler_a", "k_euler_ancestral"), ancestral=True),
    SamplerName("Euler", ("k_euler",)),
    SamplerName("LMS", ("k_lms",)),
    SamplerName("Heun", ("k_heun",), second_order=True),
    SamplerName("DPM2", ("k_dpm_2",), "Karras", second_order=True, discard_next_to_last=True),
    SamplerName("DPM2 a", ("k_dpm_2_a",), "Karras", second_order=True, ancestral=True, discard_next_to_last=True),
    SamplerName("DPM fast", ("k_dpm_fast",), ancestral=True),
    SamplerName("DPM adaptive", ("k_dpm_ad",), ancestral=True),
    SamplerName("Restart", ("restart",), "Karras", second_order=True),
    SamplerName("DDIM", ("ddim",), timestep=True),
    SamplerName("DDIM CFG++", ("ddim_cfgpp",), timestep=True),
    SamplerName("PLMS", ("plms",), timestep=True),
    SamplerName("UniPC", ("unipc",), timestep=True),
    SamplerName("LCM", ("k_lcm",)),
)

SCHEDULE_NAMES: tuple[ScheduleName, ...] = (
    ScheduleName(AUTOMATIC, "automatic"),
    ScheduleName("Uniform", "uniform", needs_model=True),
    ScheduleName("Karras", "karras", default_rho=7.0),
    ScheduleName("Exponential", "exponential"),
    ScheduleName("Polyexponential", "polyexponential", default_rho=1.0),
    ScheduleName("SGM Uniform", "sgm_uniform", ("SGMUniform",), needs_model=True),
    ScheduleName("KL Optimal", "kl_optimal"),
    ScheduleName("Align Your Steps", "align_your_steps"),
    ScheduleName("Simple", "simple", needs_model=True),
    ScheduleName("Normal", "normal", needs_model=True),
    ScheduleName("DDIM", "ddim", needs_model=True),
    ScheduleName("Beta", "beta", needs_model=True),
)
