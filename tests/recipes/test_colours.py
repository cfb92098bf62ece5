"""Colour correction: colours of the model, brightness of the result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from app.recipes.colours import colours_like

PICTURE = Path(__file__).parents[1] / "golden" / "pictures" / "init.png"


def test_a_picture_like_itself_stays_as_it_is_but_for_rounding() -> None:
    picture = Image.open(PICTURE).convert("RGB")
    changed = np.asarray(colours_like(picture, picture)).astype(int) - np.asarray(picture)
    assert np.abs(changed).mean() < 1.5


def test_a_result_with_a_cast_takes_the_colours_and_keeps_its_brightness() -> None:
    model = np.asarray(Image.open(PICTURE).convert("RGB"))
    cast = (model * (1.0, 0.8, 0.6)).astype(np.uint8)
    corrected = np.asarray(colours_like(Image.fromarray(cast), Image.fromarray(model))).astype(float)
    luma = np.array((0.299, 0.587, 0.114))
    assert np.abs(corrected @ luma - cast @ luma).mean() < 1
    assert np.abs(tint(corrected) - tint(model)).max() < 0.3 * np.abs(tint(cast) - tint(model)).max()


def tint(pixels: np.ndarray) -> np.ndarray:
    """Mean of each channel against the mean of all."""
    return pixels.mean((0, 1)) - pixels.mean()
