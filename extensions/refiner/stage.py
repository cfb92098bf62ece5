"""The refiner as a stage: a pass that turns to another checkpoint on its way."""

from __future__ import annotations

from dataclasses import replace

from app.extension_api import Draw, Drawing, ImagePlan, Pass, Tools, Turn

from .settings import NAME, values_of


def refine(inner: Draw, image: ImagePlan, tools: Tools, passing: Pass) -> Drawing:
    """The pass with a turn to the refiner's checkpoint; as it is where that is the picture's own."""
    resolved = image.resolved.passes.get(NAME)
    if resolved is None or resolved.checkpoint == image.resolved.checkpoint:
        return inner(image, tools, passing)
    values = values_of(image.resolved.request)
    return inner(image, tools, replace(passing, turn=Turn(resolved, values.switch_at, by_calls=values.by_steps)))
