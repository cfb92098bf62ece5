"""Colour correction: the result takes the colours of the picture it came from and keeps its own brightness.

Pixels only. Histograms are matched in CIE Lab; W3C Compositing and Blending Level 1, 'luminosity', for the rest.
"""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

_LUMA = (0.299, 0.587, 0.114)


def colours_like(result: Image.Image, model: Image.Image) -> Image.Image:
    """Mode RGB: `result` with the Lab histograms of `model` and the luminosity it had. Sizes may differ."""
    lab = cv2.cvtColor(np.asarray(result.convert("RGB")), cv2.COLOR_RGB2LAB)
    wanted = cv2.cvtColor(np.asarray(model.convert("RGB")), cv2.COLOR_RGB2LAB)
    matched = np.stack([_matched(lab[..., channel], wanted[..., channel]) for channel in range(3)], axis=-1)
    recoloured = cv2.cvtColor(matched, cv2.COLOR_LAB2RGB)
    return _with_luminosity(recoloured, np.asarray(result.convert("RGB")))


def _matched(values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """uint8 values mapped so that their cumulative histogram follows that of `wanted`; fractions are cut off."""
    reached = np.cumsum(np.bincount(values.ravel())) / values.size
    counts = np.bincount(wanted.ravel())
    present = np.nonzero(counts)[0]
    mapped = np.interp(reached, np.cumsum(counts[present]) / wanted.size, present)
    return mapped.astype(np.uint8)[values]


def _with_luminosity(colours: np.ndarray, brightness: np.ndarray) -> Image.Image:
    """SetLum(colours, Lum(brightness)) of the W3C text, both [H, W, 3] uint8."""
    moved = colours / 255
    moved += (brightness / 255 @ _LUMA - moved @ _LUMA)[..., None]
    luminosity = (moved @ _LUMA)[..., None]
    least, most = moved.min(-1, keepdims=True), moved.max(-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        below = luminosity + (moved - luminosity) * luminosity / (luminosity - least)
        clipped = np.where(least < 0, below, moved)
        above = luminosity + (moved - luminosity) * (1 - luminosity) / (most - luminosity)
        clipped = np.where(most > 1, above, clipped)
    return Image.fromarray(np.rint(clipped.clip(0, 1) * 255).astype(np.uint8))
