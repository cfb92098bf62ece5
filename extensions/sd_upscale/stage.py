"""SD upscale as a stage: the picture made larger, a pass over each of its tiles, and the tiles put together.

Needs torch, so it is imported when the engine is made.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import numpy
import torch
from PIL import Image
from torch import Tensor

from app.extension_api import (
    Draw,
    Drawing,
    Drawn,
    Effect,
    ImagePlan,
    Pass,
    Skip,
    Tools,
    Upscale,
    decoded,
    flattened,
)

from .settings import LARGEST_SEED, NAME, NO_UPSCALER, SDUpscale, values_of
from .tiles import Tile, joined, tiles_of

MULTIPLE = 8
"""Sides of the larger picture, as A1111's upscalers give them."""


def upscaled(inner: Draw, image: ImagePlan, tools: Tools, passing: Pass) -> Drawing:
    """One large picture. Skipped on its way, the tiles that were not drawn stay as the upscaler made them.

    Tile i of a picture has the seed that A1111 gives it: it rises by one within a batch and from batch to batch.
    """
    request = image.resolved.request
    values = values_of(request)
    large = yield from _enlarged(values, image, tools)
    tiles = tiles_of(large.size, (request.width, request.height), values.overlap)
    drawn: dict[Tile, Image.Image] = {}
    last: Drawn | None = None
    for number, tile in enumerate(tiles):
        name = f"tile-{number}"
        kept = tools.kept(name)
        if kept is not None:
            drawn[tile] = kept
            continue
        plan = _plan_of(image, tile, number, tools.model.pixels_per_latent)
        reporting = _reporting(tools, number, len(tiles))
        try:
            last = yield from decoded(
                (yield from inner(plan, reporting, replace(passing, picture=large.crop(tile.box))))
            )
        except Skip:
            if not drawn:
                raise
            break
        drawn[tile] = _picture(last.pixels).resize((tile.width, tile.height), Image.Resampling.LANCZOS)
        if last.partial:
            break
        tools.keep(name, drawn[tile])
    whole = joined({tile: drawn.get(tile) or large.crop(tile.box) for tile in tiles}, large.size, values.overlap)
    facts = last.facts if last else ()
    latent = last.latent if last else torch.zeros(1, tools.model.latent_channels, 1, 1)
    return Drawn(latent, len(drawn) < len(tiles) or bool(last and last.partial), facts, pixels=_pixels(whole))


def _enlarged(values: SDUpscale, image: ImagePlan, tools: Tools) -> Generator[Effect, Any, Image.Image]:
    """The picture to redraw, mode RGB. A network takes its time over it, so that is kept, too."""
    request = image.resolved.request
    source = flattened(tools.picture(request.init_images[0]), request.background_color)
    if values.upscaler == NO_UPSCALER:
        return source
    kept = tools.kept("enlarged")
    if kept is not None:
        return kept
    width, height = (int(side * values.scale_factor) // MULTIPLE * MULTIPLE for side in source.size)
    file = image.resolved.upscalers.get(values.upscaler)
    size = (max(width, MULTIPLE), max(height, MULTIPLE))
    large = _picture((yield Upscale(_pixels(source), values.upscaler, file, *size)))
    tools.keep("enlarged", large)
    return large


def _plan_of(image: ImagePlan, tile: Tile, number: int, cell: int) -> ImagePlan:
    """The plan of one tile: a picture of its size, in whole latent cells."""
    request = image.resolved.request
    seed = image.seed + number // request.batch_size + number % request.batch_size
    changes = {
        "width": max(tile.width // cell, 1) * cell,
        "height": max(tile.height // cell, 1) * cell,
        "extensions": {name: values for name, values in request.extensions.items() if name != NAME},
    }
    resolved = image.resolved.model_copy(update={"request": request.model_copy(update=changes)})
    return image._replace(seed=seed % (LARGEST_SEED + 1), resolved=resolved)


def _reporting(tools: Tools, number: int, tiles: int) -> Tools:
    """The same for one tile of many, which all take as many calls."""

    def report(call: int, calls: int, step: int, denoised: Tensor) -> None:
        tools.report(number * calls + call, tiles * calls, step, denoised)

    return replace(tools, report=report)


def _pixels(picture: Image.Image) -> Tensor:
    """[3, H, W] uint8."""
    return torch.from_numpy(numpy.array(picture)).permute(2, 0, 1)


def _picture(pixels: Tensor | None) -> Image.Image:
    """Mode RGB of [3, H, W] uint8."""
    assert pixels is not None
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
