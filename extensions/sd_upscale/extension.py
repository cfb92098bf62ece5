"""SD upscale: a picture is made larger and redrawn in overlapping tiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from app.extension_api import GenerationRequest, Part, hook

from .settings import SDUpscale, pictures

if TYPE_CHECKING:
    from app.extension_api import Stage

ORDER = 30
"""Around the refiner: each tile is drawn as a picture of its own."""


@hook
def register_controls() -> list[type]:
    """What the Script menu shows."""
    return [SDUpscale]


@hook
def register_expanders() -> list[Callable[[GenerationRequest], Sequence[Part]]]:
    """A large picture for each batch; the batch size counts tiles."""
    return [pictures]


@hook
def register_stages() -> list[Stage]:
    """The tiles of one picture."""
    # Late on purpose: it brings torch, which the page does without.
    from app.extension_api import Stage  # noqa: PLC0415

    from .stage import upscaled  # noqa: PLC0415

    return [Stage(ORDER, upscaled)]
