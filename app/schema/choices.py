"""Names and aliases of samplers, schedules and other fixed choices, in AUTOMATIC1111's order.

Facts without torch: the functions behind the names live in `app.samplers`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NamedTuple

from app.schema.errors import UnknownChoice


class SamplerName(NamedTuple):
    """One sampler as every front end sees it (a1111-facts 3.1).

    default_schedule: label used when the schedule is Automatic, "" for Uniform.
    second_order: two model calls a step. ancestral: reads eta and ENSD. brownian: draws Brownian-tree noise.
    discard_next_to_last: computes one sigma more and drops the one before the last. timestep: works on
    DDIM's integer timesteps and ignores the schedule. cfg_scale_factor: what the CFG scale is multiplied by.
    needs_uncond: reads the unconditional prediction apart (CFG++).
    """

    name: str
    aliases: tuple[str, ...] = ()
    default_schedule: str = ""
    second_order: bool = False
    ancestral: bool = False
    brownian: bool = False
    discard_next_to_last: bool = False
    timestep: bool = False
    cfg_scale_factor: float = 1.0
    needs_uncond: bool = False


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
NOISE_SCHEDULES = ("Default", "Zero Terminal SNR")
UNIPC_VARIANTS = ("bh1", "bh2", "vary_coeff")
UNIPC_SKIP_TYPES = ("time_uniform", "time_quadratic", "logSNR")
PRECISIONS = ("fp32", "bf16", "fp16")
NO_UPSCALER = "None"
PLAIN_UPSCALERS = (NO_UPSCALER, "Lanczos", "Nearest")
LATENT_MODES = (
    "Latent",
    "Latent (antialiased)",
    "Latent (bicubic)",
    "Latent (bicubic antialiased)",
    "Latent (nearest)",
    "Latent (nearest-exact)",
)
UPSCALER_FILES: Mapping[str, tuple[str, ...]] = {
    "ESRGAN_4x": ("ESRGAN",),
    "R-ESRGAN 4x+": ("RealESRGAN_x4plus",),
    "R-ESRGAN 4x+ Anime6B": ("RealESRGAN_x4plus_anime_6B",),
    "R-ESRGAN 2x+": ("RealESRGAN_x2plus",),
    "R-ESRGAN AnimeVideo": ("realesr-animevideov3",),
    "R-ESRGAN General 4xV3": ("realesr-general-x4v3",),
    "R-ESRGAN General WDN 4xV3": ("realesr-general-wdn-x4v3",),
    "DAT x2": ("DAT_x2",),
    "DAT x3": ("DAT_x3",),
    "DAT x4": ("DAT_x4",),
    "ScuNET GAN": ("ScuNET", "scunet_color_real_gan"),
    "ScuNET PSNR": ("ScuNET_PSNR", "scunet_color_real_psnr"),
    "SwinIR 4x": ("SwinIR_4x", "003_realSR_BSRGAN_DFOWMFC_s64w8_SwinIR-L_x4_GAN"),
}
"""A1111's names of upscalers, and how the files are called that it fetches for them."""

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
    SamplerName("DDIM CFG++", ("ddim_cfgpp",), timestep=True, cfg_scale_factor=1 / 12.5, needs_uncond=True),
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


@dataclass(frozen=True)
class Choices:
    """What may be chosen by name on this machine: what comes with the program, and what extensions add to it.

    upscalers: names of those that extensions bring; the others are files, which the library knows.
    """

    samplers: tuple[SamplerName, ...] = SAMPLER_NAMES
    schedules: tuple[ScheduleName, ...] = SCHEDULE_NAMES
    upscalers: tuple[str, ...] = ()


BUILT_IN = Choices()


def find_sampler(name: str, choices: Choices = BUILT_IN) -> SamplerName:
    """The sampler of this name, else of this alias, capitals aside. Raises UnknownChoice with the nearest names."""
    wanted = name.strip().casefold()
    for sampler in choices.samplers:
        if sampler.name.casefold() == wanted:
            return sampler
    for sampler in choices.samplers:
        if wanted in sampler.aliases:
            return sampler
    raise _unknown("sampler", name, (sampler.name for sampler in choices.samplers))


def find_schedule(name: str, choices: Choices = BUILT_IN) -> ScheduleName:
    """The schedule of this label, name or alias, capitals aside. Raises UnknownChoice with the nearest labels."""
    wanted = name.strip().casefold()
    for schedule in choices.schedules:
        if wanted in (known.casefold() for known in (schedule.label, schedule.name, *schedule.aliases)):
            return schedule
    raise _unknown("schedule", name, (schedule.label for schedule in choices.schedules))


def split_sampler_name(
    name: str | None, schedule: str | None, choices: Choices = BUILT_IN, *, convert_automatic: bool = True
) -> tuple[str, str]:
    """(sampler, schedule label) of what old infotexts and clients write, such as "DPM++ 2M Karras".

    A schedule at the end of the name goes before the one given apart. A schedule that is missing or unknown is
    Automatic, as in A1111; an empty name is the default sampler. convert_automatic: the sampler's own default schedule
    is called Automatic too. Raises UnknownChoice for an unknown sampler, where A1111 takes its first one; of two
    endings that fit ("SGM Uniform" and "Uniform") the longer one counts, where A1111 takes the shorter.
    """
    label = _schedule_or_automatic(schedule, choices)
    rest = (name or "").strip() or DEFAULT_SAMPLER
    if not _is_sampler(rest, choices):
        ending = max(_endings(rest, choices), key=lambda found: len(found[0]), default=None)
        if ending is not None:
            text, label = ending
            rest = rest[: -len(text)]
    sampler = find_sampler(rest, choices)
    if convert_automatic and label == sampler.default_schedule:
        label = AUTOMATIC
    return sampler.name, label


def _endings(name: str, choices: Choices) -> Iterable[tuple[str, str]]:
    """(the text at the end, the schedule's label) for each schedule that the name ends in."""
    for schedule in choices.schedules:
        for known in (schedule.label, schedule.name, *schedule.aliases):
            if name.casefold().endswith(f" {known}".casefold()):
                yield f" {known}", schedule.label


def _is_sampler(name: str, choices: Choices) -> bool:
    return any(name.casefold() in (sampler.name.casefold(), *sampler.aliases) for sampler in choices.samplers)


def _schedule_or_automatic(name: str | None, choices: Choices) -> str:
    try:
        return find_schedule(name or AUTOMATIC, choices).label
    except UnknownChoice:
        return AUTOMATIC


def _unknown(kind: str, name: str, known: Iterable[str]) -> UnknownChoice:
    by_folded = {label.casefold(): label for label in known}
    near = [by_folded[match] for match in get_close_matches(name.strip().casefold(), by_folded, n=3, cutoff=0.5)]
    hint = f"Nearest: {', '.join(near)}." if near else f"Known: {', '.join(by_folded.values())}."
    return UnknownChoice(f"There is no {kind} called {name[:80]!r}.", field=kind, hint=hint)
