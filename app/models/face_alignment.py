"""Face alignment: a face is turned upright into a square that the restorer knows, and put back without a seam.

Arrays and geometry only. Points are (x, y) in pixels, matrices [2, 3] take points of one picture to another.
"""

from __future__ import annotations

import cv2
import numpy as np

SIDE = 512
"""Of the square, in pixels."""
TEMPLATE = np.array(
    [
        (192.98138, 239.94708),
        (318.90277, 240.1936),
        (256.63416, 314.01935),
        (201.26117, 371.41043),
        (313.08905, 371.15118),
    ]
)
"""[5, 2]: where eyes, nose and corners of the mouth lie in a face of FFHQ at that size, left before right as seen."""
FULL, NOTHING = 0.72, 0.97
"""How far from the middle of the square (1: its edge) the restored face still counts whole, and no more at all."""
ROUNDNESS = 4
"""Of the border: 2 is a circle, more is nearer to the square."""

MARGIN = 3
"""Pixels around a part that are read along with it."""

Array = np.ndarray


def alignment(points: Array) -> Array:
    """The turn, scale and shift that bring five points [5, 2] nearest to the template, in the least squares."""
    here, there = points[:, 0] + 1j * points[:, 1], TEMPLATE[:, 0] + 1j * TEMPLATE[:, 1]
    middle, wanted = here.mean(), there.mean()
    away = here - middle
    factor = np.vdot(away, there - wanted) / np.vdot(away, away)
    shift = wanted - factor * middle
    return np.array([(factor.real, -factor.imag, shift.real), (factor.imag, factor.real, shift.imag)])


def cut_out(picture: Array, matrix: Array) -> Array:
    """[512, 512, 3] uint8 of a picture [H, W, 3]; beyond its edge it is mirrored."""
    left, top, right, bottom = _box(cv2.invertAffineTransform(matrix), picture)
    matrix = np.column_stack((matrix[:, :2], matrix[:, 2] + matrix[:, :2] @ (left, top)))
    return _warped(picture[top:bottom, left:right], matrix, (SIDE, SIDE), cv2.BORDER_REFLECT_101)


def put_back(picture: Array, face: Array, matrix: Array, visibility: float) -> None:
    """Writes a face [512, 512, 3] into the picture [H, W, 3] that it was cut from.

    The border is soft, so that nothing shows where it ends. visibility: 0 leaves the picture, 1 shows the face alone.
    """
    back = cv2.invertAffineTransform(matrix)
    left, top, right, bottom = _box(back, picture)
    back[:, 2] -= left, top
    size = (right - left, bottom - top)
    share = np.clip(_warped(soft_mask(), back, size, cv2.BORDER_CONSTANT), 0, 1)[..., None] * visibility
    drawn = _warped(face, back, size, cv2.BORDER_REPLICATE).astype(np.float32)
    part = picture[top:bottom, left:right]
    part[:] = np.rint(part + (drawn - part) * share).astype(np.uint8)


def soft_mask() -> Array:
    """[512, 512] float32: 1 in the middle, falling smoothly to 0 before the edge."""
    place = np.abs((np.arange(SIDE, dtype=np.float64) + 0.5) / (SIDE / 2) - 1)
    distance = (place[:, None] ** ROUNDNESS + place[None, :] ** ROUNDNESS) ** (1 / ROUNDNESS)
    fallen = np.clip((distance - FULL) / (NOTHING - FULL), 0, 1)
    return (1 - fallen * fallen * (3 - 2 * fallen)).astype(np.float32)


def _box(back: Array, picture: Array) -> tuple[int, int, int, int]:
    """left, top, right, bottom of what the square covers in a picture, and a little around it. back: from the square to
    the picture."""
    corners = np.array([(0, 0, 1), (SIDE, 0, 1), (0, SIDE, 1), (SIDE, SIDE, 1)]) @ back.T
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    height, width = picture.shape[:2]
    left, top = (int(np.clip(np.floor(low) - MARGIN, 0, end - 1)) for low, end in ((left, width), (top, height)))
    right, bottom = (
        int(np.clip(np.ceil(high) + MARGIN, low + 1, end))
        for high, low, end in ((right, left, width), (bottom, top, height))
    )
    return left, top, right, bottom


def _warped(picture: Array, matrix: Array, size: tuple[int, int], border: int) -> Array:
    """The picture moved by a matrix into another of (width, height); made smaller first where it shrinks, since moving
    alone would leave pixels out."""
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale < 1:
        height, width = picture.shape[:2]
        small = max(round(width * scale), 1), max(round(height * scale), 1)
        steps = np.array((width / small[0], height / small[1]))
        picture = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
        shift = matrix[:, 2] + matrix[:, :2] @ (steps / 2 - 0.5)
        matrix = np.column_stack((matrix[:, :2] * steps, shift))
    return np.asarray(cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_CUBIC, borderMode=border))
