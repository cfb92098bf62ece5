"""Enlarging: one picture brought to its size by one upscaler or two mixed, its transparency beside it."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image

from app.extras.sizes import Size, cut_to_size, enlarged_size
from app.schema.extras import ExtrasRequest

Upscale = Callable[[Image.Image, str, Size], Image.Image]
"""An RGB picture, an upscaler's name, the size wanted -> the picture at that size."""


def enlarged(picture: Image.Image, request: ExtrasRequest, upscale: Upscale) -> Image.Image:
    """The picture, RGB or RGBA, as the request wants it. Raises InvalidField for a result that is too large."""
    if not request.enlarges:
        return picture
    size = enlarged_size(picture.size, request)
    colours = picture.convert("RGB")
    larger = upscale(colours, request.upscaler_1, size)
    if request.second:
        larger = Image.blend(larger, upscale(colours, request.second, size), request.upscaler_2_visibility)
    if picture.mode == "RGBA":
        larger.putalpha(picture.getchannel("A").resize(size, Image.Resampling.LANCZOS))
    return cut_to_size(larger, request)
