"""Outpainting: a picture grows beyond its edges; what was there stays as it is, to the byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.extension_api import hook

from .settings import Outpainting

if TYPE_CHECKING:
    from app.extension_api import Stage

ORDER = 30
"""Around the refiner: each window is drawn as a picture of its own."""


@hook
def register_controls() -> list[type]:
    """What the Script menu shows."""
    return [Outpainting]


@hook
def register_stages() -> list[Stage]:
    """The windows of one picture."""
    # Late on purpose: it brings torch, which the page does without.
    from app.extension_api import Stage  # noqa: PLC0415

    from .stage import outpainted  # noqa: PLC0415

    return [Stage(ORDER, outpainted)]
