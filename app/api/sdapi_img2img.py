"""The body of /sdapi/v1/img2img with A1111's names and defaults, made into a GenerationRequest.

They differ from the page's: masked content 'fill', 'only masked' on, no padding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

from app.api.encoded_picture import decoded_picture
from app.api.sdapi_request import Txt2ImgFields, Whole, request_fields
from app.schema.errors import ImageMissing, InvalidField, NotServedYet
from app.schema.infotext import NO_MODELS, Models
from app.schema.picture_fields import InpaintArea, MaskedContent, MaskMode, ResizeMode
from app.schema.request import GenerationRequest, parse_request
from app.schema.settings import SettingValues

Keep = Callable[..., str]


class Img2ImgFields(Txt2ImgFields):
    """What img2img has beside txt2img's fields. init_images, mask: base64."""

    denoising_strength: float | None = 0.75
    init_images: list[str] | None = None
    resize_mode: Whole = 0
    image_cfg_scale: float | None = None
    mask: str | None = None
    mask_blur_x: Whole = 4
    mask_blur_y: Whole = 4
    mask_blur: Whole | None = None
    mask_round: bool = True
    inpainting_fill: Whole = 0
    inpaint_full_res: bool = True
    inpaint_full_res_padding: Whole = 0
    inpainting_mask_invert: Whole = 0
    initial_noise_multiplier: float | None = None
    latent_mask: str | None = None
    include_init_images: bool = False


_OWN = tuple(
    name for name in Img2ImgFields.model_fields if name not in (*Txt2ImgFields.model_fields, "include_init_images")
)
_HIRES = frozenset(
    name for name in Txt2ImgFields.model_fields if name.startswith(("hr_", "firstphase_")) or name == "enable_hr"
)


def img2img_request(
    fields: Img2ImgFields, settings: SettingValues, keep: Keep, models: Models = NO_MODELS
) -> GenerationRequest:
    """The request that the fields and the caller's settings come to; pictures are kept first.

    keep(data, field=...): stores the bytes of a picture and returns their hash. models: of the extensions' values.
    Raises ImageMissing without pictures, InvalidImage for what is none, InvalidField and its kin for values,
    NotServedYet for what A1111 has and this version does not.
    """
    if not fields.init_images:
        raise ImageMissing("Init image not found", field="init_images", hint="Send at least one picture in base64.")
    if fields.latent_mask is not None:
        raise NotServedYet("The field 'latent_mask' is not served yet.", field="latent_mask", hint="Leave it out.")
    data = request_fields(fields, settings, models, "img2img")
    pictures = [keep(decoded_picture(text, "init_images"), field="init_images") for text in fields.init_images]
    if len(pictures) > 1:
        # A1111's rule: as many as a batch holds are its pictures, one each.
        data["batch_size"] = len(pictures)
    data |= {
        "init_images": tuple(pictures),
        # A1111 takes more than 1 as 1.
        "denoising_strength": 0.75 if fields.denoising_strength is None else min(fields.denoising_strength, 1.0),
        "resize_mode": _one_of(ResizeMode, fields.resize_mode, "resize_mode"),
        "image_cfg_scale": 1.0 if fields.image_cfg_scale is None else fields.image_cfg_scale,
    }
    if fields.initial_noise_multiplier is not None:
        data["noise_multiplier"] = fields.initial_noise_multiplier
    if fields.mask:
        across, down = (fields.mask_blur_x, fields.mask_blur_y)
        if fields.mask_blur is not None:
            across = down = fields.mask_blur
        data |= {
            "mask": keep(decoded_picture(fields.mask, "mask"), field="mask"),
            "soft_mask": not fields.mask_round,
            "mask_blur_x": across,
            "mask_blur_y": down,
            "mask_mode": _one_of(MaskMode, fields.inpainting_mask_invert, "inpainting_mask_invert"),
            "masked_content": _one_of(MaskedContent, fields.inpainting_fill, "inpainting_fill"),
            "inpaint_area": get_args(InpaintArea)[int(fields.inpaint_full_res)],
            "masked_padding": fields.inpaint_full_res_padding,
        }
    return parse_request(data)


def echoed(fields: Img2ImgFields) -> dict[str, Any]:
    """The fields as the answer repeats them: without the pictures, unless the client asks for them."""
    told = fields.model_dump()
    if not fields.include_init_images:
        told |= {"init_images": None, "mask": None}
    answer: dict[str, Any] = {}
    for name in Txt2ImgFields.model_fields:
        if name not in _HIRES:
            answer[name] = told[name]
        # Where A1111 has them.
        if name == "comments":
            answer |= {own: told[own] for own in _OWN}
        elif name == "sampler_index":
            answer["include_init_images"] = told["include_init_images"]
    return answer


def _one_of(choices: Any, number: int, field: str) -> str:
    names = get_args(choices)
    if 0 <= number < len(names):
        return str(names[number])
    raise InvalidField(f"{field}: it is {number}; it can be 0 to {len(names) - 1} ({', '.join(names)}).", field=field)
