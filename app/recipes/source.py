"""Source: what a request's picture and mask come to before the first step, and what is put back after the last.

Knows A1111's order of resizing, cropping, filling and encoding; the steps themselves are generate.py's.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import NamedTuple, get_args

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional

from app.recipes.colours import colours_like
from app.recipes.effects import EncodeImage, ModelFacts
from app.recipes.framing import LATENT_UPSCALE, RESIZE_AND_FILL, Box, inner_size, resized
from app.recipes.image_channels import inpainting_channels, reads_mask, reads_picture
from app.recipes.masks import MaskPlan, blurred, filled, kept_pixels, latent_mask, plan_mask, put_back, read_mask
from app.schema.picture_fields import PictureFields, ResizeMode


@dataclass(frozen=True)
class Finishing:
    """What happens to the decoded picture. kept: RGBA, what is laid over it. region: where it belongs in `kept`.
    colours: the picture whose colours it is to take. whole: RGB, what `kept` is a part of."""

    kept: Image.Image | None = None
    region: Box | None = None
    colours: Image.Image | None = None
    whole: Image.Image | None = None

    def keeping(self, new: Image.Image) -> Finishing:
        """The same with another part kept; as it is where nothing is laid over the picture.

        new: mode L, the size of the decoded picture: how much of each pixel is new.
        """
        if self.whole is None:
            return self
        if self.region is not None:
            everywhere = Image.new("L", self.whole.size)
            everywhere.paste(resized(new, *self.region.size, 1), self.region[:2])
            new = everywhere
        return replace(self, kept=kept_pixels(self.whole, new))

    def __call__(self, pixels: Tensor) -> Tensor:
        """[3, H, W] uint8 to the same, in 'only masked' at the size of the whole picture."""
        if self.kept is None and self.colours is None:
            return pixels
        result = Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
        if self.colours is not None:
            result = colours_like(result, self.colours)
        if self.kept is not None:
            result = put_back(result, self.kept, self.region)
        return torch.from_numpy(np.array(result)).permute(2, 0, 1)


class Source(NamedTuple):
    """latent: [1, C, h, w] to redraw. mask: [1, 1, h, w], 1 where it is redrawn (0 and 1, or shades), or None.
    image: [1, k, h, w] beside the latent for models that read it, or None. finishing: see there."""

    latent: Tensor
    mask: Tensor | None
    image: Tensor | None
    finishing: Finishing


class Prepared(NamedTuple):
    """pixels: mode RGB, what is encoded. mask: mode L of equal size, what is redrawn, or None."""

    pixels: Image.Image
    mask: Image.Image | None
    finishing: Finishing


class Scaling(NamedTuple):
    """What is brought to another size: pixels, mode RGB, to width x height."""

    pixels: Image.Image
    width: int
    height: int

    @property
    def grows(self) -> bool:
        """Whether any side becomes longer."""
        return self.width > self.pixels.width or self.height > self.pixels.height


def scaling(
    fields: PictureFields, picture: Image.Image, mask: Image.Image | None, size: tuple[int, int]
) -> Scaling | None:
    """The one change of size on the way to `prepare`'s answer, for an upscaler to do; None where there is none."""
    mode = get_args(ResizeMode).index(fields.resize_mode)
    plan = _mask_plan(fields, mask, size, mode) if mask is not None else None
    region = plan.region if plan else None
    flat = flattened(picture, fields.background_color)
    if region is not None:
        part = flat.crop(region)
        return Scaling(part, *inner_size(part.size, *size, RESIZE_AND_FILL))
    return None if mode == LATENT_UPSCALE else Scaling(flat, *inner_size(flat.size, *size, mode))


def prepare(
    fields: PictureFields,
    picture: Image.Image,
    mask: Image.Image | None,
    size: tuple[int, int],
    scaled: Image.Image | None = None,
) -> Prepared:
    """Pixels and mask at the processing size (width, height). picture, mask: as they were sent, any mode.

    scaled: what `scaling` asked for, where Lanczos is not to do it.
    """
    resize_mode = get_args(ResizeMode).index(fields.resize_mode)
    plan = _mask_plan(fields, mask, size, resize_mode) if mask is not None else None
    region = plan.region if plan else None
    flat = flattened(picture, fields.background_color)
    if region is None and resize_mode != LATENT_UPSCALE:
        flat = resized(flat, *size, resize_mode, scaled)
    whole = flat if plan and fields.overlay_original else None
    kept = kept_pixels(whole, plan.overlay) if plan and whole else None
    if region is not None:
        flat = resized(flat.crop(region), *size, RESIZE_AND_FILL, scaled)
    repainted = plan.repainted if plan else None
    if repainted is not None and fields.masked_content != "original":
        flat = filled(flat, repainted)
    return Prepared(flat, repainted, Finishing(kept, region, flat if fields.color_correction else None, whole))


def encode_source(
    fields: PictureFields,
    prepared: Prepared,
    model: ModelFacts,
    size: tuple[int, int],
    mask_weight: float,
    own_noise: Callable[[], Tensor],
) -> Generator[EncodeImage, Tensor, Source]:
    """The source in latents. size: (width, height) in pixels of the picture to come.

    mask_weight: of an inpainting model, how much of what is under the mask it does not see. own_noise: [1, C, h, w]
    plain noise of the picture's seed, for the masked content 'latent noise'.
    """
    width, height = (side // model.pixels_per_latent for side in size)
    pixels = _tensor(prepared.pixels, model.pixels_per_latent)
    latent = yield EncodeImage(pixels)
    if tuple(latent.shape[-2:]) != (height, width):
        latent = functional.interpolate(latent, (height, width), mode="bilinear")
    mask = None
    if prepared.mask is not None:
        cells = torch.from_numpy(latent_mask(prepared.mask, width, height, hard=not fields.soft_mask))
        mask = cells.to(latent.device)[None, None]
        if fields.masked_content == "latent noise":
            latent = latent * (1 - mask) + own_noise().to(latent) * mask
        elif fields.masked_content == "latent nothing":
            latent = latent * (1 - mask)
    image = None
    if reads_mask(model):
        image = yield from _inpainting_image(fields, prepared, pixels, mask_weight, (height, width))
    elif reads_picture(model):
        # An editing model was trained on latents without the family's scale (Brooks et al. 2023).
        image = (yield EncodeImage(pixels)) / model.family.scaling_factor
    return Source(latent, mask, image, prepared.finishing)


def _inpainting_image(
    fields: PictureFields, prepared: Prepared, pixels: Tensor, weight: float, cells: tuple[int, int]
) -> Generator[EncodeImage, Tensor, Tensor]:
    """Mask and encoded picture for an inpainting model; without a mask everything is to be redrawn."""
    if prepared.mask is None:
        shown = torch.ones(pixels.shape[1:])
    else:
        sized = prepared.mask.resize((pixels.shape[2], pixels.shape[1]), Image.Resampling.BILINEAR)
        shown = torch.from_numpy(np.asarray(sized, dtype=np.float32) / 255)
        shown = shown if fields.soft_mask else shown.round()
    picture = yield EncodeImage(torch.lerp(pixels, pixels * (1 - shown), weight))
    if tuple(picture.shape[-2:]) != cells:
        picture = functional.interpolate(picture, cells, mode="bilinear")
    return inpainting_channels(functional.interpolate(shown[None, None], cells).to(picture), picture)


def _mask_plan(fields: PictureFields, mask: Image.Image, size: tuple[int, int], resize_mode: int) -> MaskPlan | None:
    read = read_mask(mask, hard=not fields.soft_mask)
    if fields.mask_mode == "Inpaint not masked":
        read = ImageOps.invert(read)
    soft = blurred(read, fields.mask_blur_x, fields.mask_blur_y)
    only_masked = fields.inpaint_area == "Only masked"
    return plan_mask(soft, size, resize_mode, fields.masked_padding if only_masked else None)


def flattened(picture: Image.Image, background: str) -> Image.Image:
    """Mode RGB, over a colour (#rrggbb) where it is transparent."""
    if picture.mode == "RGBA":
        under = Image.new("RGB", picture.size, background)
        under.paste(picture, mask=picture)
        return under
    return picture.convert("RGB")


def _tensor(picture: Image.Image, cell: int) -> Tensor:
    """[3, H, W] float32 in -1..1; rows and columns beyond whole latent cells are left out."""
    width, height = (side // cell * cell for side in picture.size)
    pixels = np.array(picture.crop((0, 0, width, height)), dtype=np.float32) / 255
    return torch.from_numpy(pixels).permute(2, 0, 1) * 2 - 1
