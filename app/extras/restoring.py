"""Restoring: the faces of one picture drawn anew, its transparency left as it is."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image

from app.schema.extras import ExtrasRequest

Restore = Callable[[Image.Image, float], tuple[Image.Image, int]]
"""An RGB picture, how much of the new faces shows -> the picture, how many faces there were."""


def restored(picture: Image.Image, request: ExtrasRequest, restore: Restore) -> tuple[Image.Image, int]:
    """The picture, RGB or RGBA, as the request wants it, and how many faces it has."""
    new, faces = restore(picture.convert("RGB"), request.gfpgan_visibility)
    if picture.mode == "RGBA":
        new = new.copy()
        new.putalpha(picture.getchannel("A"))
    return new, faces
