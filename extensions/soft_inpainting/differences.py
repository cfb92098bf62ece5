"""Differences: how much of each place of a repainted picture is new, told from how far its latent has moved.

numpy and Pillow only.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from .settings import SoftInpainting

RADIUS = 2
"""Of the neighbourhood, in latent cells."""
SPREAD = 1.5
LARGEST_TENTH, MIDDLE_HALF = (0.9, 1.0), (0.25, 0.75)
LEAST = 1.0
"""Of a neighbourhood's weight is averaged at least so much; the cell itself weighs 1."""
BLUR = 4
"""Pixels, against the steps of latent cells."""

Array = np.ndarray


def newness(values: SoftInpainting, moved: Array, mask: Array, size: tuple[int, int]) -> Image.Image:
    """Mode L of size (width, height): 255 is new, 0 is put back as it was.

    moved: [h, w], how far each latent cell has moved. mask: [h, w], 0 to 1.
    """
    smooth = ranked_mean(ranked_mean(moved, LARGEST_TENTH), MIDDLE_HALF)
    half = values.threshold * leniency(values, mask)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Where the threshold is 0, whatever moved at all is new.
        share = np.nan_to_num(smooth / half, nan=0.0, posinf=np.inf)
        kept = smootherstep(1 / (1 + share**values.difference_contrast))
    levels = Image.fromarray((255 * (1 - kept)).astype(np.uint8))
    return levels.resize(size, Image.Resampling.LANCZOS).filter(ImageFilter.GaussianBlur(BLUR))


def leniency(values: SoftInpainting, mask: Array) -> Array:
    """[h, w]: factor of the threshold; 1 everywhere without the mask's influence, else large outside of the mask."""
    outside = 1 - np.clip(mask, 0, 1) ** (values.strength / 2)
    mixed = 0.5 * (1 - values.influence) + outside * values.influence
    return np.asarray(mixed / (1.00001 - mixed))


def smootherstep(share: Array) -> Array:
    """0 to 1, level at both ends in the first and second derivative (Perlin 2002)."""
    return share * share * share * (share * (share * 6 - 15) + 10)


def ranked_mean(cells: Array, ranks: tuple[float, float]) -> Array:
    """[h, w] -> the same, each the mean of those of its neighbours that rank from the one to the other share.

    (0.5, 0.5) would be near a median, (0, 1) is a weighted mean. Neighbours weigh less the farther they are, and beyond
    the border there are none.
    """
    weights = kernel()
    side = len(weights)
    height, width = cells.shape
    inside = np.pad(np.ones_like(cells, dtype=np.float64), RADIUS)
    padded = np.pad(cells.astype(np.float64), RADIUS)
    views = [(row, column) for row in range(side) for column in range(side)]
    values = np.stack([padded[row : row + height, column : column + width] for row, column in views])
    there = np.stack([inside[row : row + height, column : column + width] for row, column in views])
    weight = there * weights.reshape(-1, 1, 1)
    order = np.argsort(values, axis=0, kind="stable")
    values, weight = (np.take_along_axis(one, order, axis=0) for one in (values, weight))
    ends = np.cumsum(weight, axis=0)
    total = ends[-1]
    low, high = _wide_enough(total * ranks[0], total * ranks[1], total)
    counted = np.clip(np.minimum(ends, high) - np.maximum(ends - weight, low), 0, None)
    return np.asarray((values * counted).sum(axis=0) / counted.sum(axis=0))


def _wide_enough(low: Array, high: Array, total: Array) -> tuple[Array, Array]:
    """The same range, about its middle widened to LEAST, and moved to lie within the whole."""
    lacking = np.clip(LEAST - (high - low), 0, None) / 2
    low, high = low - lacking, high + lacking
    over = np.clip(high - total, 0, None)
    low, high = low - over, high - over
    under = np.clip(-low, 0, None)
    return low + under, high + under


def kernel() -> Array:
    """[5, 5]: a bell exp(-d^2 / SPREAD^2) lowered so that it is 0 one cell beyond RADIUS, and 1 in the middle."""
    place = np.arange(-RADIUS, RADIUS + 1, dtype=np.float64)
    squared = place[:, None] ** 2 + place[None, :] ** 2
    edge = np.exp(-((RADIUS + 1) ** 2) / SPREAD**2)
    return np.clip((np.exp(-squared / SPREAD**2) - edge) / (1 - edge), 0, None)
