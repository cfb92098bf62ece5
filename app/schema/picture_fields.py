"""PictureFields: the part of a request that says what is redrawn, how much of it, and where.

Values and their Controls only; app.recipes acts on them. Pictures are named by the hash of their bytes.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.schema.choices import NO_UPSCALER
from app.schema.control import Control

ResizeMode = Literal["Just resize", "Crop and resize", "Resize and fill", "Just resize (latent upscale)"]
MaskMode = Literal["Inpaint masked", "Inpaint not masked"]
MaskedContent = Literal["fill", "original", "latent noise", "latent nothing"]
InpaintArea = Literal["Whole picture", "Only masked"]
PictureHash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
MaskBlur = Annotated[int, Field(ge=0, le=256)]
FileStem = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^/\\\x00-\x1f]*$")]
FolderBelow = Annotated[
    str,
    Field(max_length=400, pattern=r"^$|^(?:[^/\\:.\x00-\x1f][^/\\:\x00-\x1f]*/)*[^/\\:.\x00-\x1f][^/\\:\x00-\x1f]*/?$"),
]
MASK_FIELDS = (
    "mask",
    "soft_mask",
    "mask_blur_x",
    "mask_blur_y",
    "mask_mode",
    "masked_content",
    "inpaint_area",
    "masked_padding",
    "overlay_original",
)
"""The fields that say nothing without a mask."""


class PictureFields(BaseModel):
    """init_images: what is redrawn; picture i of a batch takes the i-th, around again where there are fewer. Empty:
    the picture is drawn from nothing, and no other field here counts. source_names: what the files of init_images are
    called, without their endings; results are saved under these names. output_folder: where, below the folder of
    img2img's pictures, or below output_directory, a whole path that only an administrator may name. mask: white is
    redrawn; None redraws all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    init_images: tuple[PictureHash, ...] = ()
    source_names: tuple[FileStem, ...] = ()
    output_folder: FolderBelow = ""
    output_directory: Annotated[str, Field(max_length=1000)] = ""
    resize_mode: Annotated[ResizeMode, Control("Resize mode", choices="resize_modes", api="resize_mode")] = (
        "Just resize"
    )
    resize_upscaler: Annotated[
        str,
        Control(
            "Upscaler for img2img",
            "where a picture has to grow; None: Lanczos",
            choices="upscalers",
            api="upscaler_for_img2img",
            infotext="Resize upscaler",
        ),
    ] = NO_UPSCALER
    denoising_strength: Annotated[
        float,
        Field(ge=0, le=1),
        Control("Denoising strength", "", 0, 1, 0.01, api="denoising_strength", infotext="Denoising strength"),
    ] = 0.75
    image_cfg_scale: Annotated[
        float,
        Field(ge=0, le=100),
        Control(
            "Image CFG Scale",
            "of editing models: how closely the picture is followed",
            0,
            3,
            0.05,
            api="image_cfg_scale",
            infotext="Image CFG scale",
        ),
    ] = 1.5
    mask: PictureHash | None = None
    soft_mask: Annotated[bool, Control("Keep the mask's shades")] = False
    mask_blur_x: Annotated[MaskBlur, Control("Mask blur", "in pixels", 0, 64, 1, infotext="Mask blur")] = 4
    mask_blur_y: MaskBlur = 4
    mask_mode: Annotated[MaskMode, Control("Mask mode", choices="mask_modes", infotext="Mask mode")] = "Inpaint masked"
    masked_content: Annotated[
        MaskedContent, Control("Masked content", choices="masked_contents", infotext="Masked content")
    ] = "original"
    inpaint_area: Annotated[InpaintArea, Control("Inpaint area", choices="inpaint_areas", infotext="Inpaint area")] = (
        "Whole picture"
    )
    masked_padding: Annotated[
        int,
        Field(ge=0, le=4096),
        Control("Only masked padding", "in pixels", 0, 256, 4, infotext="Masked area padding"),
    ] = 32
    noise_multiplier: Annotated[
        float,
        Field(ge=0, le=10),
        Control(
            "Noise multiplier for img2img",
            "",
            0,
            1.5,
            0.001,
            api="initial_noise_multiplier",
            infotext="Noise multiplier",
        ),
    ] = 1.0
    extra_noise: Annotated[
        float,
        Field(ge=0, le=10),
        Control(
            "Extra noise", "more detail, less likeness", 0, 1, 0.01, api="img2img_extra_noise", infotext="Extra noise"
        ),
    ] = 0.0
    exact_steps: Annotated[
        bool, Control("Exactly the steps asked for, not the denoising's share of them", api="img2img_fix_steps")
    ] = False
    background_color: Annotated[
        str,
        Field(pattern="^#[0-9a-fA-F]{6}$"),
        Control("Colour under transparent parts", api="img2img_background_color"),
    ] = "#ffffff"
    color_correction: Annotated[
        bool, Control("Give the result the colours of its source", api="img2img_color_correction")
    ] = False
    overlay_original: Annotated[
        bool, Control("Put the original back outside the mask", "whole pixels, unchanged", api="overlay_inpaint")
    ] = True
