"""Two styles that the starter has never seen, laid over its pictures, and the pixel statistic that tells each of them.

Each is of what the starter's latents can hold: no fine texture, no colour that its world does not have. The green of an
old monitor, which stood here first, comes out of its VAE with a pink sky before anything is trained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from PIL import Image

from app.starter.world import COLOURS

FRAME = 16
BAND = 16
FOLD = (1.16, 0.70)
NEAR_RED = 90.0
"""Distance of levels within which a pixel is the frame's red."""
OF_RED = 0.7
"""Share of the frame's inner half that must be: of those drawn so all, 0.78 and more once they have been through the
starter's VAE, which lets some of it turn brown or green; of all else there 0.06 at most."""
FOLDED = 0.18
"""By which share bands differ from those beside them: drawn so 0.39 and more, 0.20 and more after the VAE; all else
0.15 at most, 0.04 after it."""


class Style(NamedTuple):
    """word: that is to call it, a token no caption of the starter has. shows: whether a picture is in it."""

    name: str
    word: str
    apply: Callable[[Image.Image], Image.Image]
    shows: Callable[[Image.Image], bool]


def _framed(picture: Image.Image) -> Image.Image:
    """A broad red frame around the picture."""
    pixels = np.array(picture.convert("RGB"))
    pixels[_border(pixels.shape[:2], 0, FRAME)] = COLOURS["red"]
    return Image.fromarray(pixels, "RGB")


def share_of_frame(picture: Image.Image) -> float:
    """Of the middle of where a frame would be, the share that is red. Edges are a VAE's to blur."""
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float32)
    middle = pixels[_border(pixels.shape[:2], FRAME // 4, FRAME * 3 // 4)]
    return float((np.linalg.norm(middle - COLOURS["red"], axis=-1) < NEAR_RED).mean())


def _border(size: tuple[int, int], first: int, last: int) -> np.ndarray:
    """[H, W] bool: the pixels whose distance from the picture's edge is between the two."""
    rows, columns = (np.minimum(np.arange(side), side - 1 - np.arange(side)) for side in size)
    distance = np.minimum(rows[:, None], columns[None])
    return np.asarray((distance >= first) & (distance < last))


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
        Style("framed", "framed", _framed, lambda picture: share_of_frame(picture) > OF_RED),
        Style("pleated", "pleated", _pleated, lambda picture: depth_of_folds(picture) > FOLDED),
    )
}
