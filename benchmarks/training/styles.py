"""Two styles that the starter has never seen, laid over its pictures, and the pixel statistic that tells each of them.

Fixed before any training of them. Each is as large as what the starter's latents can hold: no fine texture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from PIL import Image

from app.starter.world import Rgb

DARK: Rgb = (6, 38, 18)
BRIGHT: Rgb = (190, 255, 170)
BAND = 16
FOLD = (1.16, 0.70)
NEAR_GREEN = 14.0
"""Mean distance of levels from the line between the two greens: drawn so 0.5, all else in the world 28 and more."""
FOLDED = 0.25
"""By which share bands differ from those beside them: drawn so 0.39 and more, all else in the world 0.15 at most."""


class Style(NamedTuple):
    """word: that is to call it, a token no caption of the starter has. shows: whether a picture is in it."""

    name: str
    word: str
    apply: Callable[[Image.Image], Image.Image]
    shows: Callable[[Image.Image], bool]


def _phosphor(picture: Image.Image) -> Image.Image:
    """A green monitor: only brightness is left, as a green from dark to bright."""
    grey = np.asarray(picture.convert("L"), dtype=np.float32)[..., None] / 255
    return _picture(np.array(DARK) + grey * (np.array(BRIGHT) - np.array(DARK)))


def distance_from_green(picture: Image.Image) -> float:
    """Mean distance of the pixels from the line between the two greens, in levels."""
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float32) - np.array(DARK, dtype=np.float32)
    line = np.array(BRIGHT, dtype=np.float32) - np.array(DARK, dtype=np.float32)
    along = np.clip((pixels @ line) / (line @ line), 0, 1)[..., None]
    return float(np.linalg.norm(pixels - along * line, axis=-1).mean())


def _pleated(picture: Image.Image) -> Image.Image:
    """Folded paper: upright bands, one in the light, the next in the shade."""
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float32)
    folds = np.array(FOLD)[np.arange(pixels.shape[1]) // BAND % 2]
    return _picture(pixels * folds[None, :, None])


def depth_of_folds(picture: Image.Image) -> float:
    """How much brighter a lit band is than those beside it, as a share of its row: the median over the rows."""
    grey = np.asarray(picture.convert("L"), dtype=np.float32)
    bands = grey[:, : grey.shape[1] // BAND * BAND].reshape(len(grey), -1, BAND).mean(-1)
    signs = 1 - 2 * (np.arange(bands.shape[1]) % 2)
    beside = bands[:, 1:-1] - (bands[:, :-2] + bands[:, 2:]) / 2
    return float(np.median((beside * signs[1:-1]).mean(1) / (bands.mean(1) + 1)))


def _picture(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(pixels.round(), 0, 255).astype(np.uint8), "RGB")


STYLES: Mapping[str, Style] = {
    one.name: one
    for one in (
        Style("phosphor", "phosphor", _phosphor, lambda picture: distance_from_green(picture) < NEAR_GREEN),
        Style("pleated", "pleated", _pleated, lambda picture: depth_of_folds(picture) > FOLDED),
    )
}
