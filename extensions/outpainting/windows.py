"""Windows: in which steps a picture grows, and which parts of it the model sees at a time."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from .settings import Direction

ORDER: tuple[Direction, ...] = ("left", "right", "up", "down")
"""Sides first, so that what is above and below them is drawn with them in sight."""


class Growth(NamedTuple):
    """One strip at one side. pixels: how many. size: (width, height) of the picture after it."""

    direction: Direction
    pixels: int
    size: tuple[int, int]

    @property
    def offset(self) -> tuple[int, int]:
        """Where the smaller picture lies in the larger one: (left, top)."""
        return (self.pixels if self.direction == "left" else 0, self.pixels if self.direction == "up" else 0)

    @property
    def strip(self) -> tuple[int, int, int, int]:
        """The new part: left, top, right, bottom."""
        width, height = self.size
        return {
            "left": (0, 0, self.pixels, height),
            "right": (width - self.pixels, 0, width, height),
            "up": (0, 0, width, self.pixels),
            "down": (0, height - self.pixels, width, height),
        }[self.direction]


def growths(
    size: tuple[int, int], directions: Iterable[Direction], pixels: int, window: tuple[int, int]
) -> list[Growth]:
    """The strips in order; none is wider than half a window, so that the model sees as much that is there already."""
    wanted, found = set(directions), []
    for direction in (one for one in ORDER if one in wanted):
        across = direction in ("left", "right")
        steps = math.ceil(pixels / max(window[0 if across else 1] // 2, 1))
        for number in range(steps):
            more = pixels * (number + 1) // steps - pixels * number // steps
            size = (size[0] + more, size[1]) if across else (size[0], size[1] + more)
            found.append(Growth(direction, more, size))
    return found


def windows(growth: Growth, window: tuple[int, int], cell: int) -> list[tuple[int, int, int, int]]:
    """Boxes (left, top, right, bottom) that together hold the strip, in whole latent cells, each beside the one before.

    They begin at the new edge and overlap along the strip by a quarter, so that each goes on from the one before.
    """
    sides = zip(window, growth.size, strict=True)
    width, height = (min(wanted, there) // cell * cell or there for wanted, there in sides)
    whole_width, whole_height = growth.size
    if growth.direction in ("left", "right"):
        lefts = [0 if growth.direction == "left" else whole_width - width]
        tops = _starts(whole_height, height)
    else:
        lefts = _starts(whole_width, width)
        tops = [0 if growth.direction == "up" else whole_height - height]
    return [(left, top, left + width, top + height) for top in tops for left in lefts]


def _starts(length: int, window: int) -> list[int]:
    if window >= length:
        return [0]
    count = math.ceil((length - window // 4) / (window - window // 4))
    return [round(number * (length - window) / (count - 1)) for number in range(count)]
