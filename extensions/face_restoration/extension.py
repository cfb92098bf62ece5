"""Face restoration: the faces of a finished picture are drawn anew by GFPGAN."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.extension_api import hook

from .settings import FaceRestoration

if TYPE_CHECKING:
    from app.extension_api import Stage

ORDER = 40
"""Around all other built-in stages: faces are restored once, in the picture that they come to."""


@hook
def register_controls() -> list[type]:
    """What the accordion shows."""
    return [FaceRestoration]


@hook
def register_stages() -> list[Stage]:
    """What is done to the picture."""
    # Late on purpose: it brings torch, which the page does without.
    from app.extension_api import Stage  # noqa: PLC0415

    from .stage import with_restored_faces  # noqa: PLC0415

    return [Stage(ORDER, with_restored_faces)]
