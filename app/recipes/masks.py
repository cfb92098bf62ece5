"""Masks: from what the user painted to what is repainted, shown to the model, and put back over the result.

White is repainted. Pixels only (PIL, numpy); knows nothing of models or of steps.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageFilter, ImageOps

from app.recipes.framing import RESIZE_AND_FILL, Box, masked_region, resized, widened

FILL_BLURS = ((256, 1), (64, 1), (16, 2), (4, 4), (2, 2), (0, 1))
"""(radius in pixels, how often it is laid over the coarser ones) of the masked content 'fill'."""


def read_mask(picture: Image.Image, *, hard: bool = True) -> Image.Image:
    """Mode L from a painted mask: its alpha channel where it has one that says something, else its brightness.

    hard: alpha above half becomes white, the rest black; soft inpainting keeps the shades.
    """
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        alpha = picture.convert("RGBA").getchannel("A")
        if alpha.getextrema() != (255, 255):
            return alpha.point(lambda value: 255 if value > 128 else 0) if hard else alpha
    return picture.convert("L")


def blurred(mask: Image.Image, across: float, down: float) -> Image.Image:
    """Gaussian blur of sigma `across` and `down` pixels, with a kernel of 2 * int(2.5 sigma + .5) + 1."""
    pixels = np.asarray(mask.convert("L"))
    for sigma, wide in ((across, True), (down, False)):
        if sigma > 0:
            side = 2 * int(2.5 * sigma + 0.5) + 1
            pixels = cv2.GaussianBlur(pixels, (side, 1) if wide else (1, side), sigma)
    return Image.fromarray(pixels)


class MaskPlan(NamedTuple):
    """What one mask comes to.

    repainted: mode L at the processing size, blurred. overlay: mode L at the size of the picture that comes out,
    how much of each pixel is new. region: the part of the picture that is worked on, None for all of it.
    """

    repainted: Image.Image
    overlay: Image.Image
    region: Box | None


def plan_mask(mask: Image.Image, size: tuple[int, int], resize_mode: int, padding: int | None) -> MaskPlan | None:
    """The plan for a blurred mask of mode L and a processing size (width, height).

    padding: pixels around the masked part of 'only masked', None for the whole picture. None as an answer: the mask
    is black, and there is nothing to crop to.
    """
    if padding is not None:
        found = masked_region(mask, padding)
        if found is None:
            return None
        region = widened(found, size, mask.size)
        return MaskPlan(resized(mask.crop(region), *size, RESIZE_AND_FILL), mask, region)
    whole = resized(mask, *size, resize_mode)
    # Twice the blurred mask: where it is half or more the picture is all new, so the seam lies outside the paint.
    return MaskPlan(whole, whole.point(lambda value: min(2 * value, 255)), None)


def kept_pixels(picture: Image.Image, overlay: Image.Image) -> Image.Image:
    """RGBA: the picture where it is to be kept, transparent where it is new. overlay: as in MaskPlan."""
    if overlay.size != picture.size:
        overlay = overlay.resize(picture.size)
    return _around(picture, overlay).convert("RGBA")


def put_back(result: Image.Image, kept: Image.Image, region: Box | None) -> Image.Image:
    """The result under the kept pixels; in 'only masked' it goes back to its region of the picture first."""
    if region is not None:
        whole = Image.new("RGBA", kept.size)
        whole.paste(resized(result, *region.size, 1), region[:2])
        result = whole
    result = result.convert("RGBA")
    result.alpha_composite(kept)
    return result.convert("RGB")


def filled(picture: Image.Image, mask: Image.Image) -> Image.Image:
    """Masked content 'fill': the colours around the mask flow into it, from ever finer blurs. mask: mode L."""
    around = _around(picture, mask)
    flowing = Image.new("RGBA", picture.size)
    for radius, times in FILL_BLURS:
        layer = around.filter(ImageFilter.GaussianBlur(radius)).convert("RGBA")
        for _ in range(times):
            flowing.alpha_composite(layer)
    return flowing.convert("RGB")


def _around(picture: Image.Image, mask: Image.Image) -> Image.Image:
    """Mode RGBa, colours multiplied by alpha: going through RGBA and back would round half-transparent pixels twice."""
    around = Image.new("RGBa", picture.size)
    around.paste(picture.convert("RGBA").convert("RGBa"), mask=ImageOps.invert(mask))
    return around


def latent_mask(mask: Image.Image, width: int, height: int, *, hard: bool = True) -> np.ndarray:
    """[height, width] float32, 1 where the latent is repainted. width, height: in latent cells.

    hard: rounded to 0 and 1, as everything but soft inpainting wants it.
    """
    cells = np.asarray(mask.convert("RGB").resize((width, height)), dtype=np.float32)[..., 0] / 255
    return np.around(cells) if hard else cells
