"""What hires fix can be asked for, and which request its second pass is. No torch."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.extension_api import LATENT_MODES, Control, GenerationRequest

NAME = "hires_fix"
REFINER = "refiner"
SAME_CHECKPOINT, SAME_SAMPLER, SAME_SCHEDULE = "Use same checkpoint", "Use same sampler", "Use same scheduler"


class Size(NamedTuple):
    """Where the second pass goes: width x height pixels, of which cut_width and cut_height are cut away, half on each
    side."""

    width: int
    height: int
    cut_width: int = 0
    cut_height: int = 0


class HiresFix(BaseModel):
    """The second pass. 0, "" and the words 'Use same ...' stand for what the first pass has.

    upscale_by: None where a size is given. first_picture: hash of a picture to begin with instead of a first pass.
    """

    model_config = ConfigDict(title="Hires. fix", frozen=True, extra="forbid", allow_inf_nan=False)
    TABS: ClassVar[tuple[str, ...]] = ("txt2img",)

    upscaler: Annotated[
        str, Control("Upscaler", choices="upscalers", api="hr_upscaler", infotext="Hires upscaler", change_cost=1)
    ] = LATENT_MODES[0]
    steps: Annotated[
        int,
        Field(ge=0, le=10_000),
        Control("Hires steps", "0: as many as the first pass", 0, 150, 1, None, "hr_second_pass_steps", "Hires steps"),
    ] = 0
    denoising_strength: Annotated[
        float,
        Field(ge=0, le=1),
        Control("Denoising strength", "", 0, 1, 0.01, None, "denoising_strength", "Denoising strength"),
    ] = 0.7
    upscale_by: Annotated[
        float | None,
        Field(gt=0, le=64),
        Control("Upscale by", "", 1, 4, 0.05, None, "hr_scale", "Hires upscale"),
    ] = 2.0
    resize_width: Annotated[
        int,
        Field(ge=0, le=16_384),
        Control("Resize width to", "0: by the factor", 0, 2048, 8, None, "hr_resize_x", "Hires resize-1"),
    ] = 0
    resize_height: Annotated[
        int,
        Field(ge=0, le=16_384),
        Control("Resize height to", "0: by the factor", 0, 2048, 8, None, "hr_resize_y", "Hires resize-2"),
    ] = 0
    checkpoint: Annotated[
        str,
        Control(
            "Hires checkpoint",
            choices="checkpoints",
            api="hr_checkpoint_name",
            infotext="Hires checkpoint",
            change_cost=10,
        ),
    ] = SAME_CHECKPOINT
    sampler: Annotated[
        str,
        Control("Hires sampling method", choices="samplers", api="hr_sampler_name", infotext="Hires sampler"),
    ] = SAME_SAMPLER
    schedule: Annotated[
        str,
        Control("Hires schedule type", choices="schedules", api="hr_scheduler", infotext="Hires schedule type"),
    ] = SAME_SCHEDULE
    prompt: Annotated[
        str,
        Field(max_length=65_536),
        Control("Hires prompt", "empty: the same", api="hr_prompt", infotext="Hires prompt", holds="prompt"),
    ] = ""
    negative_prompt: Annotated[
        str,
        Field(max_length=65_536),
        Control(
            "Hires negative prompt",
            "empty: the same",
            api="hr_negative_prompt",
            infotext="Hires negative prompt",
            holds="negative_prompt",
        ),
    ] = ""
    cfg_scale: Annotated[
        float,
        Field(ge=0, le=100),
        Control("Hires CFG Scale", "0: the same", 0, 30, 0.5, None, "hr_cfg_scale", "Hires CFG Scale"),
    ] = 0.0
    token_merging_ratio: Annotated[
        float,
        Field(ge=0, le=0.9),
        Control(
            "Hires token merging ratio",
            "0: the same",
            0,
            0.9,
            0.1,
            None,
            "token_merging_ratio_hr",
            "Token merging ratio hr",
        ),
    ] = 0.0
    refiner_pass: Annotated[
        Literal["second pass", "first pass", "both passes"],
        Control(
            "Refiner works in the", choices="refiner_passes", api="hires_fix_refiner_pass", infotext="Hires refiner"
        ),
    ] = "second pass"
    save_first: Annotated[
        bool,
        Control(
            "Save the first pass, too",
            "beside the picture",
            api="save_images_before_highres_fix",
            holds="saving",
        ),
    ] = False
    first_picture: Annotated[str | None, Field(pattern="^[0-9a-f]{64}$"), Control("First picture", holds="picture")] = (
        None
    )

    @model_validator(mode="before")
    @classmethod
    def _factor_or_size(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        same = {"checkpoint": SAME_CHECKPOINT, "sampler": SAME_SAMPLER, "schedule": SAME_SCHEDULE}
        values = {**values, **{name: word for name, word in same.items() if not values.get(name)}}
        if str(values.get("resize_width") or 0) != "0" or str(values.get("resize_height") or 0) != "0":
            return {**values, "upscale_by": None}
        return {name: value for name, value in values.items() if name != "upscale_by" or value is not None}

    def size(self, width: int, height: int) -> Size:
        """A1111's rule: no size uses the factor; one side keeps the proportions; two cover the frame and are cut."""
        wide, high = self.resize_width, self.resize_height
        if not wide and not high:
            factor = self.upscale_by or 1.0
            return Size(int(width * factor), int(height * factor))
        if not high:
            return Size(wide, wide * height // width)
        if not wide:
            return Size(high * width // height, high)
        grown = (wide, wide * height // width) if width / height < wide / high else (high * width // height, high)
        return Size(*grown, grown[0] - wide, grown[1] - high)


def values_of(request: GenerationRequest) -> HiresFix:
    """What a request that names hires fix asks of it."""
    return HiresFix.model_validate(request.extensions[NAME])


def second_pass(request: GenerationRequest) -> GenerationRequest | None:
    """The request that the second pass is: exactly its steps, over the size before cutting. None for img2img."""
    if request.init_images:
        return None
    values = values_of(request)
    size = values.size(request.width, request.height)
    others = {name: other for name, other in request.extensions.items() if name != NAME}
    if values.refiner_pass == "first pass":
        others.pop(REFINER, None)
    return request.model_copy(
        update={
            "prompt": values.prompt or request.prompt,
            "negative_prompt": values.negative_prompt or request.negative_prompt,
            "checkpoint": request.checkpoint if values.checkpoint == SAME_CHECKPOINT else values.checkpoint,
            "sampler": request.sampler if values.sampler == SAME_SAMPLER else values.sampler,
            "schedule": request.schedule if values.schedule == SAME_SCHEDULE else values.schedule,
            "steps": values.steps or request.steps,
            "cfg_scale": values.cfg_scale or request.cfg_scale,
            "token_merging_ratio": values.token_merging_ratio or request.token_merging_ratio,
            "width": size.width,
            "height": size.height,
            "denoising_strength": values.denoising_strength,
            "exact_steps": True,
            "noise_multiplier": 1.0,
            "extensions": others,
        }
    )


def first_pass(request: GenerationRequest) -> GenerationRequest:
    """The request of the first pass: without this extension, and without a refiner that is for the second."""
    unwanted = {NAME} if values_of(request).refiner_pass != "second pass" else {NAME, REFINER}
    return request.model_copy(
        update={"extensions": {name: other for name, other in request.extensions.items() if name not in unwanted}}
    )
