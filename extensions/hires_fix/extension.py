"""Hires fix: the picture is drawn small, made larger and drawn over once more."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from app.extension_api import GenerationRequest, hook

from .settings import HiresFix, second_pass

if TYPE_CHECKING:
    from app.extension_api import Stage

ORDER = 20
"""Around the refiner, which works inside of one pass."""


@hook
def register_controls() -> list[type]:
    """What the accordion shows."""
    return [HiresFix]


@hook
def register_passes() -> list[Callable[[GenerationRequest], GenerationRequest | None]]:
    """The second pass is a request of its own."""
    return [second_pass]


@hook
def register_stages() -> list[Stage]:
    """The order of both passes."""
    # Late on purpose: it brings torch, which the page does without.
    from app.extension_api import Stage  # noqa: PLC0415

    from .stage import hires  # noqa: PLC0415

    return [Stage(ORDER, hires)]
