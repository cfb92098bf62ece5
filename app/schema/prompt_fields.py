"""PromptFields: the part of a request that says how its prompts are read.

Values and their Controls only; app.language and app.conditioning act on them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.schema.control import Control


class PromptFields(BaseModel):
    """comma_backtrack: in tokens. crop_top, crop_left: in pixels. The aesthetic scores concern SDXL's refiner alone."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    clip_skip: Annotated[
        int,
        Field(ge=1, le=12),
        Control("Clip skip", "1: the last layer", 1, 12, 1, api="CLIP_stop_at_last_layers", infotext="Clip skip"),
    ] = 1
    sdxl_clip_l_skip: Annotated[
        bool,
        Control(
            "Clip skip on SDXL's first encoder",
            "off: SDXL ignores Clip skip",
            api="sdxl_clip_l_skip",
            infotext="SDXL clip L skip",
        ),
    ] = False
    emphasis: Annotated[
        Literal["Original", "No norm", "Ignore", "None"],
        Control("Emphasis mode", "what (word:1.2) does", choices="emphasis", api="emphasis", infotext="Emphasis"),
    ] = "Original"
    prompt_comments: Annotated[
        bool,
        Control(
            "Comments in prompts",
            "# leaves the rest of a line out",
            api="enable_prompt_comments",
            infotext="Prompt comments",
        ),
    ] = True
    ignore_network_tags: Annotated[
        bool,
        Control(
            "Ignore network tags",
            "<lora:...>, <hypernet:...> and the like are taken out of the prompt and switch nothing on",
            infotext="Ignore network tags",
        ),
    ] = False
    comma_backtrack: Annotated[
        int,
        Field(ge=0, le=74),
        Control(
            "Prompt word wrap length limit",
            "how many tokens back a comma may lie for a full chunk to be broken there; 0: never",
            0,
            74,
            1,
            api="comma_padding_backtrack",
            infotext="Comma backtrack",
        ),
    ] = 20
    old_prompt_editing: Annotated[
        bool,
        Control(
            "Old prompt editing timelines",
            "[a:b:n] as before version 1.6",
            api="use_old_scheduling",
            infotext="Old prompt editing timelines",
        ),
    ] = False
    crop_top: Annotated[
        int,
        Field(ge=0, le=16_384),
        Control("SDXL crop top", "in pixels", 0, 1024, 1, api="sdxl_crop_top", infotext="SDXL crop top"),
    ] = 0
    crop_left: Annotated[
        int,
        Field(ge=0, le=16_384),
        Control("SDXL crop left", "in pixels", 0, 1024, 1, api="sdxl_crop_left", infotext="SDXL crop left"),
    ] = 0
    aesthetic_score: Annotated[
        float,
        Field(ge=0, le=100),
        Control(
            "SDXL refiner: high aesthetic score",
            "of the prompt",
            0,
            10,
            0.1,
            api="sdxl_refiner_high_aesthetic_score",
            infotext="Aesthetic score",
        ),
    ] = 6.0
    negative_aesthetic_score: Annotated[
        float,
        Field(ge=0, le=100),
        Control(
            "SDXL refiner: low aesthetic score",
            "of the negative prompt",
            0,
            10,
            0.1,
            api="sdxl_refiner_low_aesthetic_score",
            infotext="Negative aesthetic score",
        ),
    ] = 2.5
