"""The body of /sdapi/v1/txt2img with A1111's names and defaults, made into a GenerationRequest.

A1111's API has defaults of its own (50 steps, Euler). What it takes from its global options is filled in here, so that
the request says everything.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from app.api.sdapi_extensions import EXTENSION_OPTIONS, Keep, face_values, hires_values, refiner_values
from app.api.sdapi_scripts import always_on, chosen
from app.schema.choices import AUTOMATIC
from app.schema.errors import UnknownSetting
from app.schema.infotext import NO_MODELS, Models
from app.schema.request import GenerationRequest, parse_request
from app.schema.settings import ETAS, REQUEST_FIELDS, SettingValues, checked_value, request_values


def _whole(value: Any) -> Any:
    """A1111 takes 1.5 steps as 1."""
    return int(value) if isinstance(value, float) and value == value and abs(value) < 2**63 else value


Whole = Annotated[int, BeforeValidator(_whole)]


class Txt2ImgFields(BaseModel):
    """As A1111 lists them, in its order; unknown fields are ignored, as there."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    prompt: str = ""
    negative_prompt: str = ""
    styles: list[str] | None = None
    seed: Whole = -1
    subseed: Whole = -1
    subseed_strength: float = 0
    seed_resize_from_h: Whole = -1
    seed_resize_from_w: Whole = -1
    sampler_name: str | None = None
    scheduler: str | None = None
    batch_size: Whole = 1
    n_iter: Whole = 1
    steps: Whole = 50
    cfg_scale: float = 7.0
    width: Whole = 512
    height: Whole = 512
    restore_faces: bool | None = None
    tiling: bool | None = None
    do_not_save_samples: bool = False
    do_not_save_grid: bool = False
    eta: float | None = None
    denoising_strength: float | None = None
    s_min_uncond: float | None = None
    s_churn: float | None = None
    s_tmax: float | None = None
    s_tmin: float | None = None
    s_noise: float | None = None
    override_settings: dict[str, Any] | None = None
    override_settings_restore_afterwards: bool = True
    refiner_checkpoint: str | None = None
    refiner_switch_at: float | None = None
    disable_extra_networks: bool = False
    firstpass_image: str | None = None
    comments: dict[str, Any] | None = None
    enable_hr: bool = False
    firstphase_width: Whole = 0
    firstphase_height: Whole = 0
    hr_scale: float = 2.0
    hr_upscaler: str | None = None
    hr_second_pass_steps: Whole = 0
    hr_resize_x: Whole = 0
    hr_resize_y: Whole = 0
    hr_checkpoint_name: str | None = None
    hr_sampler_name: str | None = None
    hr_scheduler: str | None = None
    hr_prompt: str = ""
    hr_negative_prompt: str = ""
    force_task_id: str | None = None
    sampler_index: str | None = "Euler"
    script_name: str | None = None
    script_args: list[Any] = Field(default_factory=list)
    send_images: bool = True
    save_images: bool = False
    alwayson_scripts: dict[str, Any] = Field(default_factory=dict)
    infotext: str | None = None


Fields = TypeVar("Fields", bound=Txt2ImgFields)


def generation_request(
    fields: Txt2ImgFields, settings: SettingValues, keep: Keep, models: Models = NO_MODELS
) -> GenerationRequest:
    """The request that the fields and the caller's settings come to; a picture among them is kept first.

    keep(data, field=...): stores the bytes of a picture and returns their hash. models: of the extensions' values.
    Raises InvalidField and its kin for values.
    """
    data = request_fields(fields, settings, models, "txt2img")
    if fields.firstphase_width and fields.firstphase_height:
        data |= {"width": fields.firstphase_width, "height": fields.firstphase_height}
    return parse_request({**data, "extensions": {**hires_values(fields, keep), **data["extensions"]}})


def request_fields(fields: Txt2ImgFields, settings: SettingValues, models: Models, tab: str) -> dict[str, Any]:
    """The request's fields that txt2img and img2img share, unchecked. Raises as `generation_request` does."""
    overrides = fields.override_settings or {}
    given = {option: value for option, value in overrides.items() if option not in EXTENSION_OPTIONS}
    settings = settings.model_copy(update={option: _overridden(option, value) for option, value in given.items()})
    sampler = fields.sampler_name or fields.sampler_index or "Euler"
    data = request_values(settings, sampler)
    for name in ("tiling", "s_churn", "s_tmin", "s_tmax", "s_noise", "s_min_uncond", "eta"):
        value = getattr(fields, name)
        if value is not None:
            data[REQUEST_FIELDS.get(name, name)] = value
    data |= {
        "prompt": fields.prompt,
        "negative_prompt": fields.negative_prompt,
        "styles": tuple(fields.styles or ()),
        "sampler": sampler,
        "schedule": fields.scheduler or AUTOMATIC,
        "steps": fields.steps,
        "width": fields.width,
        "height": fields.height,
        "batch_count": fields.n_iter,
        "batch_size": fields.batch_size,
        "cfg_scale": fields.cfg_scale,
        "seed": fields.seed,
        "variation_seed": fields.subseed,
        "variation_strength": fields.subseed_strength,
        "seed_resize_width": max(fields.seed_resize_from_w, 0),
        "seed_resize_height": max(fields.seed_resize_from_h, 0),
        "save_images": fields.save_images,
        "ignore_network_tags": fields.disable_extra_networks,
        "extensions": {
            **refiner_values(fields),
            **face_values(fields),
            **always_on(fields.alwayson_scripts, models),
            **chosen(fields.script_name, fields.script_args, models, tab),
        },
    }
    return data


def _overridden(option: str, value: Any) -> Any:
    if option in REQUEST_FIELDS or option in ETAS:
        return checked_value(option, value)
    known = option in SettingValues.model_fields
    raise UnknownSetting(
        f"The setting '{option[:80]}' " + ("cannot be overridden by a request." if known else "is not known."),
        field="override_settings",
        hint=f"A request may override {', '.join((*REQUEST_FIELDS, *ETAS))}.",
    )
