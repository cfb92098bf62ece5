"""Seam: what was drawn is joined to what was there, which stays as it is.

Where the model has drawn over the edge of the picture, it shows how far its colours are off there; the new side is
shifted by that, less and less with the distance. Colours only: texture is left alone.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

REACH = 4
"""Over how many times the mask's blur the shift fades out, as A1111's second script widens its mask."""
LEAST_SPREAD = 4.0


def joined(known: NDArray[np.uint8], drawn: NDArray[np.uint8], new: NDArray[np.bool_], blur: int) -> NDArray[np.uint8]:
    """[H, W, 3]: `known` to the byte where `new` [H, W] is False, elsewhere `drawn`, its colours fitted at the seam.

    blur: pixels; 0 fits nothing.
    """
    if blur == 0 or new.all() or not new.any():
        return np.where(new[..., None], drawn, known)
    off = known.astype(np.float32) - drawn
    distance_inside = cv2.distanceTransform((~new).astype(np.uint8), cv2.DIST_L2, 5)
    beside = (~new & (distance_inside <= max(blur, 2))).astype(np.float32)
    spread = max(2.0 * blur, LEAST_SPREAD)
    weight = cv2.GaussianBlur(beside, (0, 0), spread)
    shift = cv2.GaussianBlur(off * beside[..., None], (0, 0), spread) / np.maximum(weight, 1e-6)[..., None]
    distance = cv2.distanceTransform(new.astype(np.uint8), cv2.DIST_L2, 5)
    near = np.clip(1 - distance / (REACH * blur), 0, 1)
    near = near * near * (3 - 2 * near)
    fitted = np.clip(np.rint(drawn + shift * near[..., None]), 0, 255).astype(np.uint8)
    return np.where(new[..., None], fitted, known)
