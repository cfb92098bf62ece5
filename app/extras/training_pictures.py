"""Training pictures: cutting, splitting and mirroring pictures that something is to be taught from.

Written from what A1111's helpers do (a1111-facts 1.4); knows PIL and numpy, and no files.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from app.schema.extras import ExtrasRequest, Mirror

SIDE_STEP = 64
"""Auto-sized crops have sides of whole multiples of this, as the buckets of trainers."""
MOST_PARTS = 100
_MEASURED_SIDE = 512
_ENTROPY_LEVELS = 16


def training_pictures(picture: Image.Image, request: ExtrasRequest) -> list[Image.Image]:
    """All pictures that the wanted helpers make of one, at least one."""
    pictures = [picture]
    if request.split:
        pictures = [part for one in pictures for part in split(one, request)]
    if request.focal_crop:
        pictures = [focal_crop(one, request) for one in pictures]
    if request.autosized:
        pictures = [autosized(one, request) for one in pictures]
    copies = [flipped(one, mirror) for one in pictures for mirror in request.flips]
    return [*pictures, *copies]


def split(picture: Image.Image, request: ExtrasRequest) -> list[Image.Image]:
    """Parts of the target size along the longer direction, evenly spread; the picture alone where it is not oversized.

    Oversized: one direction, measured in targets, is at most `split_threshold` of the other.
    """
    wide, high = picture.width / request.target_width, picture.height / request.target_height
    if min(wide, high) / max(wide, high) > request.split_threshold or max(wide, high) <= 1:
        return [picture]
    target = request.target_width, request.target_height
    along = 0 if wide > high else 1
    factor = target[1 - along] / picture.size[1 - along]
    length = max(round(picture.size[along] * factor), target[along])
    size = (length, target[1]) if along == 0 else (target[0], length)
    scaled = picture.resize(size, Image.Resampling.LANCZOS)
    fresh = target[along] * (1 - request.split_overlap)
    count = min(max(math.ceil((length - target[along] * request.split_overlap) / fresh), 1), MOST_PARTS)
    starts = [round(number * (length - target[along]) / max(count - 1, 1)) for number in range(count)]
    boxes = [(start, 0) if along == 0 else (0, start) for start in starts]
    return [scaled.crop((left, top, left + target[0], top + target[1])) for left, top in boxes]


def focal_crop(picture: Image.Image, request: ExtrasRequest) -> Image.Image:
    """The target size, covering as much of the picture as fits, around where most is to be seen."""
    target = request.target_width, request.target_height
    factor = max(target[0] / picture.width, target[1] / picture.height)
    size = max(round(picture.width * factor), target[0]), max(round(picture.height * factor), target[1])
    x, y = focal_point(picture, request.focal_entropy, request.focal_edges)
    scaled = picture.resize(size, Image.Resampling.LANCZOS)
    left = min(max(round(x * size[0] - target[0] / 2), 0), size[0] - target[0])
    top = min(max(round(y * size[1] - target[1] / 2), 0), size[1] - target[1])
    return scaled.crop((left, top, left + target[0], top + target[1]))


def focal_point(picture: Image.Image, entropy: float, edges: float) -> tuple[float, float]:
    """(x, y) from 0 to 1: the mean of the liveliest places, each kind by its weight; the middle where nothing is.

    Entropy: of grey levels around a place. Edges: differences between neighbours.
    """
    grey = ImageOps.grayscale(picture)
    grey.thumbnail((_MEASURED_SIDE, _MEASURED_SIDE))
    values = np.asarray(grey, dtype=np.float64)
    weights = np.zeros_like(values)
    for weight, measured in ((entropy, _local_entropy(values)), (edges, _edges(values))):
        total = measured.sum()
        if total > 0:
            weights += weight * measured / total
    total = weights.sum()
    if total <= 0:
        return 0.5, 0.5
    rows, columns = np.indices(values.shape)
    return (
        float((weights * (columns + 0.5)).sum() / total / values.shape[1]),
        float((weights * (rows + 0.5)).sum() / total / values.shape[0]),
    )


def autosized(picture: Image.Image, request: ExtrasRequest) -> Image.Image:
    """Cut centrally to the best size within the bounds; as it is where no size comes near its proportions."""
    size = best_size(picture.width, picture.height, request)
    return ImageOps.fit(picture, size, Image.Resampling.LANCZOS) if size else picture


class _Fit(NamedTuple):
    area: int
    error: float
    size: tuple[int, int]


def best_size(width: int, height: int, request: ExtrasRequest) -> tuple[int, int] | None:
    """The size that cuts off little: error is 1 minus the smaller of both proportions over the larger."""
    first = math.ceil(request.least_side / SIDE_STEP) * SIDE_STEP
    sides = range(first, request.largest_side + 1, SIDE_STEP)
    fits = []
    for wide in sides:
        for high in sides:
            ratios = sorted((wide / high, width / height))
            error = 1 - ratios[0] / ratios[1]
            if request.least_area <= wide * high <= request.largest_area and error <= request.error_threshold:
                fits.append(_Fit(wide * high, error, (wide, high)))
    if request.objective == "Maximize area":
        return max(fits, key=lambda fit: (fit.area, -fit.error)).size if fits else None
    return min(fits, key=lambda fit: (fit.error, -fit.area)).size if fits else None


def flipped(picture: Image.Image, mirror: Mirror) -> Image.Image:
    """A mirrored copy; 'Both' is turned by half."""
    if mirror == "Both":
        return ImageOps.flip(ImageOps.mirror(picture))
    return ImageOps.mirror(picture) if mirror == "Horizontal" else ImageOps.flip(picture)


def _local_entropy(values: np.ndarray) -> np.ndarray:
    """Shannon's entropy, in bits, of coarse grey levels in a window of an eighth of the shorter side."""
    window = max(min(values.shape) // 8, 3)
    levels = np.minimum(values / 256 * _ENTROPY_LEVELS, _ENTROPY_LEVELS - 1).astype(int)
    total = np.zeros_like(values)
    for level in range(_ENTROPY_LEVELS):
        share = _window_mean(levels == level, window).clip(1e-12, 1)
        total -= share * np.log2(share)
    return total.clip(0) * (total > 1e-6)


def _window_mean(values: np.ndarray, window: int) -> np.ndarray:
    """The mean around each place, from running sums; at the rim the rim's own values go on."""
    padded = np.pad(values.astype(np.float64), (window // 2 + 1, (window - 1) // 2), mode="edge")
    sums = padded.cumsum(axis=0).cumsum(axis=1)
    parts = sums[window:, window:] - sums[:-window, window:] - sums[window:, :-window] + sums[:-window, :-window]
    return parts / window**2


def _edges(values: np.ndarray) -> np.ndarray:
    """How much each place differs from its neighbours."""
    strength = np.zeros_like(values)
    if values.shape[1] > 1:
        strength[:, 1:] += np.abs(np.diff(values, axis=1))
    if values.shape[0] > 1:
        strength[1:] += np.abs(np.diff(values, axis=0))
    return strength
