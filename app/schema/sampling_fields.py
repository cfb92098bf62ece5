"""SamplingFields: the part of a request that says where the noise comes from and how samplers walk through it.

Values and their Controls only; app.samplers acts on them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.schema.control import Control


class SamplingFields(BaseModel):
    """sigma_min, sigma_max, rho: 0 is the model's or the schedule's own. eta: None is the sampler's own."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    noise_source: Annotated[
        Literal["CPU", "GPU", "NV"],
        Control("Random number source", choices="noise_sources", api="randn_source", infotext="RNG"),
    ] = "CPU"
    noise_seed_delta: Annotated[
        int, Field(ge=0, le=2**32), Control("Eta noise seed delta", api="eta_noise_seed_delta", infotext="ENSD")
    ] = 0
    eta: Annotated[
        float | None,
        Field(ge=0, le=10),
        Control("Eta", "noise of ancestral samplers; empty: the sampler's own", 0, 1, 0.01, api="eta", infotext="Eta"),
    ] = None
    s_churn: Annotated[
        float, Field(ge=0), Control("Sigma churn", "", 0, 100, 0.01, api="s_churn", infotext="Sigma churn")
    ] = 0.0
    s_tmin: Annotated[
        float, Field(ge=0), Control("Sigma tmin", "", 0, 10, 0.01, api="s_tmin", infotext="Sigma tmin")
    ] = 0.0
    s_tmax: Annotated[
        float, Field(ge=0), Control("Sigma tmax", "0: no limit", 0, 999, 0.01, api="s_tmax", infotext="Sigma tmax")
    ] = 0.0
    s_noise: Annotated[
        float, Field(ge=0), Control("Sigma noise", "", 0, 1.1, 0.001, api="s_noise", infotext="Sigma noise")
    ] = 1.0
    sigma_min: Annotated[
        float,
        Field(ge=0, le=100_000),
        Control("Schedule min sigma", "0: the model's", 0, 2, 0.01, api="sigma_min", infotext="Schedule min sigma"),
    ] = 0.0
    sigma_max: Annotated[
        float,
        Field(ge=0, le=100_000),
        Control("Schedule max sigma", "0: the model's", 0, 60, 0.01, api="sigma_max", infotext="Schedule max sigma"),
    ] = 0.0
    rho: Annotated[
        float,
        Field(ge=0, le=1000),
        Control(
            "Schedule rho", "0: 7 for Karras, 1 for Polyexponential", 0, 20, 0.1, api="rho", infotext="Schedule rho"
        ),
    ] = 0.0
    old_karras_sigmas: Annotated[
        bool,
        Control(
            "Old Karras sigmas",
            "0.1 to 10 instead of the model's range",
            api="use_old_karras_scheduler_sigmas",
            infotext="Old Karras sigmas",
        ),
    ] = False
    discard_next_to_last_sigma: Annotated[
        bool,
        Control(
            "Always discard next-to-last sigma",
            "as some samplers do anyway",
            api="always_discard_next_to_last_sigma",
            infotext="Discard penultimate sigma",
        ),
    ] = False
    sgm_noise_multiplier: Annotated[
        bool,
        Control(
            "SGM noise multiplier",
            "start from a little more noise, as other programs do",
            api="sgm_noise_multiplier",
            infotext="SGM noise multiplier",
        ),
    ] = False
    quantize_timesteps: Annotated[
        bool,
        Control(
            "Quantization in K samplers",
            "whole timesteps only",
            api="enable_quantization",
            infotext="Quantized timesteps",
        ),
    ] = False
    noise_schedule: Annotated[
        Literal["Default", "Zero Terminal SNR"],
        Control(
            "Noise schedule for sampling",
            "Zero Terminal SNR: for checkpoints trained with it",
            choices="noise_schedules",
            api="sd_noise_schedule",
            infotext="Noise Schedule",
        ),
    ] = "Default"
    downcast_alphas: Annotated[
        bool,
        Control(
            "Downcast model alphas_cumprod to fp16",
            "as before version 1.8",
            api="use_downcasted_alpha_bar",
            infotext="Downcast alphas_cumprod",
        ),
    ] = False
    beta_alpha: Annotated[
        float,
        Field(ge=0.01, le=100),
        Control("Beta schedule alpha", "", 0.01, 5, 0.01, api="beta_dist_alpha", infotext="Beta scheduler alpha"),
    ] = 0.6
    beta_beta: Annotated[
        float,
        Field(ge=0.01, le=100),
        Control("Beta schedule beta", "", 0.01, 5, 0.01, api="beta_dist_beta", infotext="Beta scheduler beta"),
    ] = 0.6
    unipc_variant: Annotated[
        Literal["bh1", "bh2", "vary_coeff"],
        Control("UniPC variant", choices="unipc_variants", api="uni_pc_variant", infotext="UniPC variant"),
    ] = "bh1"
    unipc_skip_type: Annotated[
        Literal["time_uniform", "time_quadratic", "logSNR"],
        Control("UniPC skip type", choices="unipc_skip_types", api="uni_pc_skip_type", infotext="UniPC skip type"),
    ] = "time_uniform"
    unipc_order: Annotated[
        int,
        Field(ge=1, le=50),
        Control("UniPC order", "must be below the steps", 1, 50, 1, api="uni_pc_order", infotext="UniPC order"),
    ] = 3
    unipc_lower_order_final: Annotated[
        bool,
        Control("UniPC lower order final", api="uni_pc_lower_order_final", infotext="UniPC lower order final"),
    ] = True
