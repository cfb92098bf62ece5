"""Outpainting as a stage: strip by strip and window by window, each an inpainting of what is not there yet.

Needs torch, so it is imported when the engine is made.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from app.extension_api import (
    Draw,
    Drawing,
    Drawn,
    GenerationRequest,
    ImagePlan,
    InvalidField,
    Pass,
    Skip,
    Tools,
    decoded,
    flattened,
)

from .filling import faded, shaped_noise, stretched
from .seam import joined
from .settings import NAME, SHAPED_NOISE, Outpainting, values_of
from .windows import Growth, growths, windows

LARGEST_SEED = 2**64 - 1
Canvas = NDArray[np.uint8]


def outpainted(inner: Draw, image: ImagePlan, tools: Tools, passing: Pass) -> Drawing:
    """One picture, larger by the strips asked for. Skipped on its way, the rest is as it was filled.

    Raises InvalidField without a picture to begin with.
    """
    request = image.resolved.request
    values = values_of(request)
    if not request.init_images or passing.picture is not None or passing.latent is not None:
        raise InvalidField("Outpainting makes a given picture larger, and none is given.", hint="Use it in img2img.")
    source = tools.picture(request.init_images[image.image % len(request.init_images)])
    canvas: Canvas = np.array(flattened(source, request.background_color))
    window, cell = (request.width, request.height), tools.model.pixels_per_latent
    strips = growths((canvas.shape[1], canvas.shape[0]), values.directions, values.pixels, window)
    total = sum(len(windows(growth, window, cell)) for growth in strips)
    number, over = 0, False
    last: Drawn | None = None
    for growth in strips:
        canvas, new = _grown(canvas, growth, values, np.random.default_rng((image.seed, number)))
        for box in windows(growth, window, cell):
            area = np.s_[box[1] : box[3], box[0] : box[2]]
            kept = tools.kept(f"window-{number}")
            if kept is not None:
                canvas[area], new[area] = np.array(kept), False
            elif not over and new[area].any():
                size = (box[2] - box[0], box[3] - box[1])
                plan = _plan_of(image, values, size, number, cell)
                part = replace(passing, picture=Image.fromarray(canvas[area]), mask=_mask(new[area], values.mask_blur))
                try:
                    last = yield from inner(plan, _reporting(tools, number, total), part)
                    last = yield from decoded(last)
                except Skip:
                    if last is None:
                        raise
                    over = True
                else:
                    assert last.pixels is not None
                    drawn = _of_size(last.pixels, size)
                    canvas[area] = joined(canvas[area], drawn, new[area], values.mask_blur)
                    new[area] = False
                    over = last.partial
                    if not over:
                        tools.keep(f"window-{number}", Image.fromarray(canvas[area]))
            number += 1
    latent = last.latent if last else torch.zeros(1, tools.model.latent_channels, 1, 1)
    return Drawn(latent, over, last.facts if last else (), pixels=torch.from_numpy(canvas).permute(2, 0, 1))


def _grown(
    canvas: Canvas, growth: Growth, values: Outpainting, generator: np.random.Generator
) -> tuple[Canvas, NDArray[np.bool_]]:
    """The canvas with its new strip filled, and where that is."""
    larger = stretched(canvas, growth)
    left, top, right, bottom = growth.strip
    strip = np.s_[top:bottom, left:right]
    if values.fill == SHAPED_NOISE:
        size = (right - left, bottom - top)
        noise = shaped_noise(_beside(canvas, growth), size, generator, values.falloff, values.color_variation)
        filled = faded(larger[strip].astype(np.float64), noise, growth)
        larger[strip] = np.clip(np.rint(filled), 0, 255).astype(np.uint8)
    new = np.zeros(larger.shape[:2], dtype=bool)
    new[strip] = True
    return larger, new


def _beside(canvas: Canvas, growth: Growth) -> NDArray[np.float64]:
    """The part of the picture next to a strip, twice as wide as the strip."""
    wide = 2 * growth.pixels
    part = {
        "left": canvas[:, :wide],
        "right": canvas[:, -wide:],
        "up": canvas[:wide],
        "down": canvas[-wide:],
    }[growth.direction]
    return part.astype(np.float64)


def _mask(new: NDArray[np.bool_], blur: int) -> Image.Image:
    """White over the new part and, as far as the blur reaches, over its edge: the model draws across the seam."""
    mask = Image.fromarray(new.astype(np.uint8) * 255)
    if blur == 0 or new.all():
        return mask
    rows, columns = np.flatnonzero(new.any(1)), np.flatnonzero(new.any(0))
    grown = np.zeros_like(new)
    grown[max(rows[0] - blur, 0) : rows[-1] + 1 + blur, max(columns[0] - blur, 0) : columns[-1] + 1 + blur] = True
    return Image.fromarray(grown.astype(np.uint8) * 255)


def _of_size(pixels: Tensor, size: tuple[int, int]) -> Canvas:
    """[H, W, 3] of [3, h, w]; only a picture narrower than a latent cell is drawn at another size than its own."""
    picture = Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
    return np.array(picture if picture.size == size else picture.resize(size, Image.Resampling.LANCZOS))


def _plan_of(image: ImagePlan, values: Outpainting, size: tuple[int, int], number: int, cell: int) -> ImagePlan:
    """The plan of one window: an inpainting of the size of the window, whose seam is made here."""
    changes: dict[str, Any] = {
        "width": max(size[0], cell),
        "height": max(size[1], cell),
        "resize_mode": "Just resize",
        "mask_mode": "Inpaint masked",
        "masked_content": "original" if values.fill == SHAPED_NOISE else values.fill,
        "mask_blur_x": values.mask_blur,
        "mask_blur_y": values.mask_blur,
        "inpaint_area": "Whole picture",
        "overlay_original": False,
        "extensions": _without(image.resolved.request),
    }
    request = image.resolved.request.model_copy(update=changes)
    resolved = image.resolved.model_copy(update={"request": request})
    return image._replace(seed=(image.seed + number) % (LARGEST_SEED + 1), resolved=resolved)


def _without(request: GenerationRequest) -> dict[str, Any]:
    return {name: values for name, values in request.extensions.items() if name != NAME}


def _reporting(tools: Tools, number: int, windows: int) -> Tools:
    """The same for one window of many, which all take as many calls."""

    def report(call: int, calls: int, step: int, denoised: Tensor) -> None:
        tools.report(number * calls + call, windows * calls, step, denoised)

    return replace(tools, report=report)
