"""GuidanceFields: the part of a request that says how the prompts' answers are combined at each model call.

Values and their Controls only; app.recipes acts on them.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from app.schema.control import Control


class GuidanceFields(BaseModel):
    """cfg_scale: Ho and Salimans 2022. cfg_rescale: Lin et al. 2023, section 3.4. The others leave the negative prompt
    out of some calls, or make both prompts equally long."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    cfg_scale: Annotated[
        float,
        Field(ge=0, le=1000),
        Control(
            "CFG Scale", "how closely the picture follows the prompt", 1, 30, 0.5, api="cfg_scale", infotext="CFG scale"
        ),
    ] = 7.0
    cfg_rescale: Annotated[
        float,
        Field(ge=0, le=1),
        Control("CFG rescale", "0: off; against pale or burnt pictures", 0, 1, 0.01, infotext="CFG rescale"),
    ] = 0.0
    guidance_minimum_sigma: Annotated[
        float,
        Field(ge=0),
        Control(
            "Negative Guidance minimum sigma",
            "below this noise every other call leaves the negative prompt out; 0: never",
            0,
            15,
            0.01,
            api="s_min_uncond",
            infotext="NGMS",
        ),
    ] = 0.0
    guidance_minimum_all_steps: Annotated[
        bool,
        Control(
            "Negative Guidance minimum sigma all steps",
            "every call instead of every other",
            api="s_min_uncond_all",
            infotext="NGMS all steps",
        ),
    ] = False
    skip_early_guidance: Annotated[
        float,
        Field(ge=0, le=1),
        Control(
            "Ignore negative prompt during early sampling",
            "share of the calls",
            0,
            1,
            0.01,
            api="skip_early_cond",
            infotext="Skip Early CFG",
        ),
    ] = 0.0
    pad_prompts: Annotated[
        bool,
        Control(
            "Pad prompt and negative prompt to be the same length",
            "faster with long prompts",
            api="pad_cond_uncond",
            infotext="Pad conds",
        ),
    ] = False
    pad_prompts_v0: Annotated[
        bool,
        Control(
            "Pad prompt and negative prompt (version 0)",
            "as DDIM and PLMS did before version 1.6",
            api="pad_cond_uncond_v0",
            infotext="Pad conds v0",
        ),
    ] = False
