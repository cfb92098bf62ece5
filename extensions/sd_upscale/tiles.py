"""Tiles: where they lie in a picture, evenly spread, and how they are put together over their overlap."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from PIL import Image


class Tile(NamedTuple):
    """A part of a picture in pixels; equal `top` is one row."""

    left: int
    top: int
    width: int
    height: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """left, top, right, bottom."""
        return self.left, self.top, self.left + self.width, self.top + self.height


def starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where the tiles of one axis begin: evenly spread, and no more of them than this overlap needs."""
    if tile >= length:
        return [0]
    count = math.ceil((length - overlap) / (tile - overlap))
    gap = (length - tile) / (count - 1)
    return [min(int(number * gap), length - tile) for number in range(count)]


def tiles_of(size: tuple[int, int], tile: tuple[int, int], overlap: int) -> list[Tile]:
    """The tiles of a picture row by row. size, tile: (width, height); a picture smaller than a tile is one itself."""
    width, height = (min(wanted, there) for wanted, there in zip(tile, size, strict=True))
    return [
        Tile(left, top, width, height)
        for top in starts(size[1], height, overlap)
        for left in starts(size[0], width, overlap)
    ]


def joined(drawn: Mapping[Tile, Image.Image], size: tuple[int, int], overlap: int) -> Image.Image:
    """One picture, mode RGB.

    The first pixels of a tile, as many as `overlap`, go over from what lies there: along each row, then row by row.
    """
    rows: dict[int, Image.Image] = {}
    for tile, picture in sorted(drawn.items(), key=lambda entry: (entry[0].top, entry[0].left)):
        row = rows.setdefault(tile.top, Image.new("RGB", (size[0], tile.height)))
        fading = _ramp(overlap if tile.left else 0, picture.size)
        row.paste(picture, (tile.left, 0), fading)
    whole = Image.new("RGB", size)
    for top, row in rows.items():
        turned = _ramp(overlap if top else 0, (row.height, row.width)).transpose(Image.Transpose.TRANSPOSE)
        whole.paste(row, (0, top), turned)
    return whole


def _ramp(length: int, size: tuple[int, int]) -> Image.Image:
    """Mode L: how much comes in from left to right, linearly over `length` pixels in 8 bits, then all of it."""
    line = Image.new("L", (size[0], 1), 255)
    line.putdata([min(number * 255 // length, 255) if number < length else 255 for number in range(size[0])])
    return line.resize(size, Image.Resampling.NEAREST)
