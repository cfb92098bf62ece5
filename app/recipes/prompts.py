"""From both prompts of a request to the guidance of one pass: planned, encoded, and padded where that is wanted.

Knows which fields of a request concern text; the rules of reading are app.language's.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from app.conditioning import ConditioningSchedule
from app.language import Reading, Sizes, Timing, plan_text, plan_texts
from app.recipes.effects import EncodeText, ModelFacts
from app.recipes.guidance import Economy, Guidance
from app.recipes.padding import Padding, padding_needed
from app.schema.choices import BUILT_IN, Choices, find_sampler
from app.schema.request import GenerationRequest


def read_prompts(
    request: GenerationRequest, model: ModelFacts, timing: Timing, height: int, width: int, choices: Choices = BUILT_IN
) -> Generator[EncodeText, Any, Guidance]:
    """The guidance of one pass over a picture of height x width pixels; timing: what its prompt editing goes by."""
    reading = Reading(
        timing,
        emphasis=request.emphasis,
        clip_skip=request.clip_skip,
        clip_l_skip=request.sdxl_clip_l_skip,
        comma_backtrack=request.comma_backtrack,
        sizes=Sizes(height, width, request.crop_top, request.crop_left, request.aesthetic_score)
        if model.family.size_numbers
        else None,
        negative_aesthetic_score=request.negative_aesthetic_score,
    )
    texts = plan_texts(request.prompt, request.negative_prompt, reading)
    positive = []
    for part in texts.positive:
        schedule = yield EncodeText(part.unit)
        positive.append((schedule, part.weight))
    negative = yield EncodeText(texts.negative)
    padding = yield from _padding(request, reading, [*(schedule for schedule, _ in positive), negative])
    return Guidance(
        tuple(positive),
        negative,
        scale=request.cfg_scale * find_sampler(request.sampler, choices).cfg_scale_factor,
        calls=timing.calls,
        economy=Economy(
            request.guidance_minimum_sigma, request.guidance_minimum_all_steps, request.skip_early_guidance
        ),
        padding=padding,
        merging=request.token_merging_ratio,
        scale_input=model.scale_input,
    )


def _padding(
    request: GenerationRequest, reading: Reading, schedules: list[ConditioningSchedule]
) -> Generator[EncodeText, Any, Padding | None]:
    wanted = request.pad_prompts or request.pad_prompts_v0
    lengths = (one.length for schedule in schedules for one in schedule.conditionings)
    if not wanted or not padding_needed(*lengths):
        return None
    if request.pad_prompts_v0:
        return Padding(empty=None)
    empty = yield EncodeText(plan_text("", reading)[0].unit)
    return Padding(empty.conditionings[0])
