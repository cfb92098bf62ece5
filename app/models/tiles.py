"""Tiles: a picture worked on in overlapping parts, so that memory does not grow with it, put together without seams."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def in_tiles(
    pixels: Tensor,
    scale: int,
    run: Callable[[Tensor], Tensor],
    *,
    tile: int,
    overlap: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Tensor:
    """[3, H, W] uint8 -> [3, scale * H, scale * W] uint8 on the CPU.

    run: the same for a part of it. tile, overlap: in pixels of the input, the tile's side and what neighbours share at
    least, of which they fade into each other; tile 0: in one piece. Tiles are spread evenly, as A1111's are. Beside the
    answer only one tile is held.
    """
    _, height, width = pixels.shape
    if tile <= 0 or (height <= tile and width <= tile):
        progress(0, 1)
        answer = run(pixels)
        progress(1, 1)
        return answer
    rows, columns = starts(height, tile, overlap), starts(width, tile, overlap)
    whole = torch.empty(3, height * scale, width * scale, dtype=torch.uint8)
    done, edge = 0, overlap * scale
    for top in rows:
        band = whole[:, top * scale : (top + tile) * scale]
        fresh = torch.empty_like(band)
        for left in columns:
            progress(done, len(rows) * len(columns))
            part = run(pixels[:, top : top + tile, left : left + tile]).cpu()
            _lay(fresh[:, :, left * scale : (left + tile) * scale], part, edge if left else 0, dim=2)
            done += 1
        _lay(band, fresh, edge if top else 0, dim=1)
    progress(done, done)
    return whole


def starts(size: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin so that they cover `size`, evenly spread, and neighbours share at least `overlap`."""
    if size <= tile:
        return [0]
    count = math.ceil((size - overlap) / max(tile - overlap, 1))
    return [int(number * (size - tile) / (count - 1)) for number in range(count)]


def _lay(place: Tensor, part: Tensor, edge: int, dim: int) -> None:
    """Puts a part over what is there; over its first `edge` rows or columns it fades in."""
    if edge:
        shape = [1, 1, 1]
        shape[dim] = edge
        share = ((torch.arange(edge) + 0.5) / edge).view(shape)
        before, after = place.narrow(dim, 0, edge).float(), part.narrow(dim, 0, edge).float()
        mixed = torch.lerp(before, after, share).round().to(torch.uint8)
        rest = part.shape[dim] - edge
        place.narrow(dim, edge, rest).copy_(part.narrow(dim, edge, rest))
        place.narrow(dim, 0, edge).copy_(mixed)
    else:
        place.copy_(part)
