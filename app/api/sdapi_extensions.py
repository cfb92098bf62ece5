"""A1111's fields of hires fix, the refiner and face restoration, as values of the built-in extensions for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from app.api.encoded_picture import decoded_picture
from app.schema.choices import LATENT_MODES

if TYPE_CHECKING:
    from app.api.sdapi_request import Txt2ImgFields

Keep = Callable[..., str]

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
    "save_images_before_highres_fix": "save_first",
}
REFINER_OPTIONS: Mapping[str, str] = {"refiner_switch_by_sample_steps": "by_steps"}
FACE_OPTIONS: Mapping[str, str] = {
    "face_restoration_model": "model",
    "save_images_before_face_restoration": "save_before",
}
"""A1111's options that are values here; a request gives them in override_settings."""
FACES = "face_restoration"
"""The extension, and A1111's option that asks for it."""
STRENGTH = 0.75
"""A1111's denoising strength over the API where a request says none."""
NO_CHECKPOINT = (None, "", "None")


EXTENSION_OPTIONS = frozenset({*HIRES_OPTIONS, *REFINER_OPTIONS, *FACE_OPTIONS, FACES})


def hires_values(fields: Txt2ImgFields, keep: Keep) -> dict[str, dict[str, Any]]:
    """Hires fix in the request's `extensions`; empty where it is not asked for.

    keep(data, field=...): stores the bytes of a picture and returns their hash.
    """
    if not fields.enable_hr:
        return {}
    values = {ours: getattr(fields, theirs) for theirs, ours in HIRES.items()}
    values = {name: value for name, value in values.items() if value is not None}
    strength = STRENGTH if fields.denoising_strength is None else fields.denoising_strength
    if fields.firstphase_width and fields.firstphase_height:  # of A1111 before 1.0: the size is the second pass's
        values |= {"resize_width": fields.width, "resize_height": fields.height}
    if fields.firstpass_image:
        picture = decoded_picture(fields.firstpass_image, "firstpass_image")
        values["first_picture"] = keep(picture, field="firstpass_image")
    values |= {"upscaler": fields.hr_upscaler or LATENT_MODES[0], "denoising_strength": min(strength, 1.0)}
    return {"hires_fix": values | _options(HIRES_OPTIONS, fields)}


def refiner_values(fields: Txt2ImgFields) -> dict[str, dict[str, Any]]:
    """The refiner in the request's `extensions`; empty where it is not asked for."""
    if fields.refiner_checkpoint in NO_CHECKPOINT:
        return {}
    switch = {} if fields.refiner_switch_at is None else {"switch_at": fields.refiner_switch_at}
    return {"refiner": {"checkpoint": fields.refiner_checkpoint, **switch, **_options(REFINER_OPTIONS, fields)}}


def face_values(fields: Txt2ImgFields) -> dict[str, dict[str, Any]]:
    """Face restoration in the request's `extensions`; empty where it is not asked for. As A1111 has it, the field wins
    over the option."""
    wanted = fields.restore_faces
    if wanted is None:
        wanted = bool((fields.override_settings or {}).get(FACES))
    return {FACES: _options(FACE_OPTIONS, fields)} if wanted else {}


def extension_fields(extensions: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The other way round: A1111's fields of what an infotext says of these extensions."""
    hires, refiner = extensions.get("hires_fix"), extensions.get("refiner")
    found: dict[str, Any] = {}
    if hires is not None:
        table = {**HIRES, "hr_upscaler": "upscaler", "denoising_strength": "denoising_strength"}
        found = {"enable_hr": True, **{theirs: hires[ours] for theirs, ours in table.items() if ours in hires}}
    if refiner is not None and "checkpoint" in refiner:
        found |= {f"refiner_{name}": refiner[name] for name in ("checkpoint", "switch_at") if name in refiner}
    if FACES in extensions:
        found["restore_faces"] = True
    return found


def _options(table: Mapping[str, str], fields: Txt2ImgFields) -> dict[str, Any]:
    overrides = fields.override_settings or {}
    return {ours: overrides[theirs] for theirs, ours in table.items() if theirs in overrides}
