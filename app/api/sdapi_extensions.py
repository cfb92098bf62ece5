"""A1111's fields of hires fix and the refiner, as values of the built-in extensions that do their work here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.api.sdapi_request import Txt2ImgFields
from app.schema.choices import LATENT_MODES

HIRES: Mapping[str, str] = {
    "hr_scale": "upscale_by",
    "hr_second_pass_steps": "steps",
    "hr_resize_x": "resize_width",
    "hr_resize_y": "resize_height",
    "hr_checkpoint_name": "checkpoint",
    "hr_sampler_name": "sampler",
    "hr_scheduler": "schedule",
    "hr_prompt": "prompt",
    "hr_negative_prompt": "negative_prompt",
}
"""Field -> value of the extension hires_fix."""
HIRES_OPTIONS: Mapping[str, str] = {
    "hires_fix_refiner_pass": "refiner_pass",
    "token_merging_ratio_hr": "token_merging_ratio",
}
REFINER_OPTIONS: Mapping[str, str] = {"refiner_switch_by_sample_steps": "by_steps"}
"""A1111's options that are values here; a request gives them in override_settings."""
STRENGTH = 0.75
"""A1111's denoising strength over the API where a request says none."""
NO_CHECKPOINT = (None, "", "None")


def extension_values(fields: Txt2ImgFields) -> dict[str, dict[str, Any]]:
    """What the request's `extensions` holds; empty where neither is asked for."""
    found: dict[str, dict[str, Any]] = {}
    overrides = fields.override_settings or {}
    if fields.enable_hr:
        values = {ours: getattr(fields, theirs) for theirs, ours in HIRES.items()}
        values = {name: value for name, value in values.items() if value is not None}
        strength = STRENGTH if fields.denoising_strength is None else fields.denoising_strength
        if fields.firstphase_width and fields.firstphase_height:  # before A1111 1.0: the size is the second pass's
            values |= {"resize_width": fields.width, "resize_height": fields.height}
        found["hires_fix"] = {
            "upscaler": fields.hr_upscaler or LATENT_MODES[0],
            "denoising_strength": min(strength, 1.0),
            **values,
            **_options(HIRES_OPTIONS, overrides),
        }
    if fields.refiner_checkpoint not in NO_CHECKPOINT:
        switch = {} if fields.refiner_switch_at is None else {"switch_at": fields.refiner_switch_at}
        found["refiner"] = {
            "checkpoint": fields.refiner_checkpoint,
            **switch,
            **_options(REFINER_OPTIONS, overrides),
        }
    return found


def _options(table: Mapping[str, str], overrides: Mapping[str, Any]) -> dict[str, Any]:
    return {ours: overrides[theirs] for theirs, ours in table.items() if theirs in overrides}
