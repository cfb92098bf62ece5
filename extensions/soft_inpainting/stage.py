"""Soft inpainting as a stage: shades of the mask count, and the end is put back by how much it differs. Needs torch."""

from __future__ import annotations

import torch

from app.extension_api import Draw, Drawing, ImagePlan, Pass, Tools

from .differences import newness
from .settings import values_of


def put_back_by_difference(inner: Draw, image: ImagePlan, tools: Tools, passing: Pass) -> Drawing:
    """A repainted picture; what has no mask is drawn as ever."""
    request = image.resolved.request
    values = values_of(request)
    if request.mask is None or passing.latent is not None or not values.enabled:
        return (yield from inner(image, tools, passing))
    shaded = image.resolved.model_copy(update={"request": request.model_copy(update={"soft_mask": True})})
    drawn = yield from inner(image._replace(resolved=shaded), tools, passing)
    source = drawn.source
    if source is None or source.mask is None or drawn.finishing is None:
        return drawn
    moved = torch.linalg.vector_norm((drawn.latent - source.latent).float(), dim=1)[0]
    cell = tools.model.pixels_per_latent
    size = (drawn.latent.shape[-1] * cell, drawn.latent.shape[-2] * cell)
    new = newness(values, moved.cpu().numpy(), source.mask[0, 0].float().cpu().numpy(), size)
    return drawn._replace(finishing=drawn.finishing.keeping(new))
