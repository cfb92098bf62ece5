"""Refiner: another checkpoint draws the last part of a pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from app.extension_api import GenerationRequest, hook

from .settings import Refiner, refining

if TYPE_CHECKING:
    from app.extension_api import Stage

ORDER = 10


@hook
def register_controls() -> list[type]:
    """What the accordion shows."""
    return [Refiner]


@hook
def register_passes() -> list[Callable[[GenerationRequest], GenerationRequest | None]]:
    """What the other checkpoint is told."""
    return [refining]


@hook
def register_stages() -> list[Stage]:
    """The change on the way."""
    # Late on purpose: it brings torch, which the page does without.
    from app.extension_api import Stage  # noqa: PLC0415

    from .stage import refine  # noqa: PLC0415

    return [Stage(ORDER, refine)]
