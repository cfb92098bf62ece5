"""Soft inpainting: a blurred mask blends old and new seamlessly, and what hardly changed stays as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.extension_api import hook

from .settings import SoftInpainting

if TYPE_CHECKING:
    from app.extension_api import MakeGuides, Stage

ORDER = 20


@hook
def register_controls() -> list[type]:
    """What the accordion shows."""
    return [SoftInpainting]


@hook
def register_guides() -> list[MakeGuides]:
    """How each step keeps what lies outside the mask."""
    # Late on purpose: it brings torch, which the page does without.
    from .blending import guides  # noqa: PLC0415

    return [guides]


@hook
def register_stages() -> list[Stage]:
    """How the picture is put back into the one it came from."""
    from app.extension_api import Stage  # noqa: PLC0415

    from .stage import put_back_by_difference  # noqa: PLC0415

    return [Stage(ORDER, put_back_by_difference)]
