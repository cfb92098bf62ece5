"""Hires fix as a stage: one pass, its latent or picture made larger, and a second pass over that.

Needs torch, so it is imported when the engine is made.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy
import torch
from torch import Tensor
from torch.nn import functional

from app.extension_api import (
    LATENT_MODES,
    ChangeModel,
    Decode,
    Draw,
    Drawing,
    Drawn,
    Effect,
    EncodeImage,
    ImagePlan,
    ModelFacts,
    Pass,
    Skip,
    Tools,
    Upscale,
    require_same_latents,
)

from .settings import NAME, HiresFix, Size, first_pass, values_of

_INTERPOLATIONS: dict[str, tuple[str, bool]] = dict(
    zip(
        LATENT_MODES,
        (
            ("bilinear", False),
            ("bilinear", True),
            ("bicubic", False),
            ("bicubic", True),
            ("nearest", False),
            ("nearest-exact", False),
        ),
        strict=True,
    )
)


BEFORE = "before-highres-fix"
"""How A1111 ends the name of a first pass that is saved."""


class _Begun(NamedTuple):
    """Where the second pass starts: with a latent or with pixels [3, H, W] uint8."""

    latent: Tensor | None
    pixels: Tensor | None


def hires(inner: Draw, image: ImagePlan, tools: Tools, passing: Pass) -> Drawing:
    """A picture in two passes. Skipped in the first or between both, it is the first one's picture."""
    resolved = image.resolved
    second = resolved.passes.get(NAME)
    if second is None or passing.latent is not None:
        return (yield from inner(image, tools, passing))
    values = values_of(resolved.request)
    first_calls, second_calls = (tools.calls_planned(one) for one in (resolved.request, second.request))
    first: Drawn | None = None
    if values.first_picture is None:
        alone = image._replace(resolved=resolved.model_copy(update={"request": first_pass(resolved.request)}))
        first = yield from inner(alone, tools.between(0, second_calls), passing)
        if first.partial:
            return first
        begun = _Begun(first.latent, (yield Decode(first.latent)) if values.save_first else None)
    else:
        begun = _Begun(None, _pixels(tools, values.first_picture))
    size = _size(values, begun, image)
    try:
        latent, model = yield from _enlarged(values, size, begun, image, tools)
        begin = _cut(latent, size, model.pixels_per_latent)
        second_pass = replace(passing, latent=begin, calls_before=first_calls)
        later = replace(tools.between(first_calls if first else 0, 0), model=model)
        drawn = yield from inner(image._replace(resolved=second), later, second_pass)
        if first is not None and values.save_first and begun.pixels is not None:
            drawn = drawn._replace(beside=((BEFORE, begun.pixels),))
        return drawn
    except Skip:
        if first is None:
            raise
        yield ChangeModel(resolved)
        return first._replace(partial=True)


def _enlarged(
    values: HiresFix, size: Size, begun: _Begun, image: ImagePlan, tools: Tools
) -> Generator[Effect, Any, tuple[Tensor, ModelFacts]]:
    """The latent [1, C, h, w] that the second pass redraws, before cutting, and the model that does."""
    second = image.resolved.passes[NAME]
    cell = tools.model.pixels_per_latent
    if values.upscaler in _INTERPOLATIONS:
        latent = begun.latent
        if latent is None:
            latent = yield EncodeImage(_cells(begun.pixels, cell))
        mode, antialias = _INTERPOLATIONS[values.upscaler]
        latent = functional.interpolate(
            latent, (size.height // cell, size.width // cell), mode=mode, antialias=antialias
        )
        model = yield ChangeModel(second)
        require_same_latents(tools.model, model, second.checkpoint_name)
        return latent, model
    pixels = begun.pixels
    if pixels is None:
        pixels = yield Decode(begun.latent)
    file = image.resolved.upscalers.get(values.upscaler)
    pixels = yield Upscale(pixels, values.upscaler, file, size.width, size.height)
    model = yield ChangeModel(second)
    return (yield EncodeImage(_cells(pixels, model.pixels_per_latent))), model


def _size(values: HiresFix, begun: _Begun, image: ImagePlan) -> Size:
    if begun.pixels is None:
        request = image.resolved.request
        return values.size(request.width, request.height)
    return values.size(begun.pixels.shape[2], begun.pixels.shape[1])


def _pixels(tools: Tools, digest: str) -> Tensor:
    """[3, H, W] uint8 of a stored picture."""
    return torch.from_numpy(numpy.array(tools.picture(digest).convert("RGB"))).permute(2, 0, 1)


def _cells(pixels: Tensor | None, cell: int) -> Tensor:
    """[3, H, W] float32 in -1..1, without rows and columns beyond whole latent cells."""
    assert pixels is not None
    height, width = (side // cell * cell for side in pixels.shape[1:])
    return pixels[:, :height, :width].float() / 255 * 2 - 1


def _cut(latent: Tensor, size: Size, cell: int) -> Tensor:
    """The middle of a latent: what lies over the wanted size is cut off, half on each side."""
    across, down = size.cut_width // cell, size.cut_height // cell
    height, width = latent.shape[-2:]
    return latent[..., down // 2 : height - (down + 1) // 2, across // 2 : width - (across + 1) // 2]
