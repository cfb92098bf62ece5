"""Strips: layers run over a large feature map strip by strip, with the numbers that the whole at once would give.

A strip is some rows in full width. Convolutions see the rows beside it; group norms are given the whole map's moments.
Maps lie in host memory, strips on the device. Knows layers, not the network that they belong to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

Shape = tuple[int, int, int]
"""Channels, height and width."""
Piece = Callable[[int, int], Tensor]
_FEWEST_ROWS = 8
"""Of a strip: each costs two or three more rows on either side."""


class Rows(NamedTuple):
    """Rows first..last (excluded) of a map that is `height` rows high. values: [n, c, last - first, width].

    wraps: rows beyond the rim are those of the other side; else what lies there is zero to a convolution.
    """

    values: Tensor
    first: int
    last: int
    height: int
    wraps: bool

    def cut(self, first: int, last: int) -> Rows:
        """Of these the ones from first to last."""
        return self._replace(values=self.values[:, :, first - self.first : last - self.first], first=first, last=last)

    def changed(self, values: Tensor) -> Rows:
        """As many others in their place."""
        return self._replace(values=values)


class Moments:
    """Mean and sum of squared distances from it, by picture and channel, of all strips that were added.

    Merged as in Chan, Golub and LeVeque 1979, in float64.
    """

    def __init__(self) -> None:
        self._count = 0
        self._mean = self._squares = torch.zeros((), dtype=torch.float64)

    def add(self, values: Tensor) -> None:
        """values: [n, c, rows, width]."""
        count = values.shape[2] * values.shape[3]
        variance, mean = (one.double().cpu() for one in torch.var_mean(values.float(), dim=(2, 3), correction=0))
        total = self._count + count
        apart = mean - self._mean
        self._mean = self._mean + apart * (count / total)
        self._squares = self._squares + variance * count + apart.square() * (self._count * count / total)
        self._count = total

    def norm(self, layer: nn.GroupNorm) -> Callable[[Tensor], Tensor]:
        """The layer as a function of any part, [n, c, ...], of the map that these are the moments of."""
        pictures, channels = self._mean.shape
        groups = (pictures, layer.num_groups, channels // layer.num_groups)
        mean = self._mean.reshape(groups)
        centre = mean.mean(dim=2, keepdim=True)
        variance = (self._squares.reshape(groups) / self._count + (mean - centre).square()).mean(dim=2, keepdim=True)
        scale = (variance + layer.eps).rsqrt().expand(groups).reshape(pictures, channels)
        shift = -centre.expand(groups).reshape(pictures, channels) * scale
        if layer.affine:
            weight, bias = layer.weight.detach().double().cpu(), layer.bias.detach().double().cpu()
            scale, shift = scale * weight, shift * weight + bias

        def apply(values: Tensor) -> Tensor:
            sides = (pictures, channels, *[1] * (values.dim() - 2))
            factor, offset = (one.to(values.device, torch.float32).reshape(sides) for one in (scale, shift))
            return torch.addcmul(offset, values.float(), factor).to(values.dtype)

        return apply


class Map(Protocol):
    """A feature map that is read by rows. moments: of all of it."""

    channels: int
    height: int
    width: int
    moments: Moments

    def rows(self, first: int, last: int) -> Rows:
        """On the device, without those beyond a rim that does not wrap."""
        ...


class StoredMap:
    """A map in host memory. values: [n, c, h, w]."""

    def __init__(self, values: Tensor, like: Tensor, wraps: bool) -> None:
        """like: a weight: strips come on its device in its type."""
        self.values, self._device, self._dtype, self._wraps = values, like.device, like.dtype, wraps
        self.channels, self.height, self.width = values.shape[1:]
        self.moments = Moments()

    def rows(self, first: int, last: int) -> Rows:
        """As in `Map`."""
        if self._wraps and (first < 0 or last > self.height):
            found = self.values[:, :, torch.arange(first, last, device=self.values.device) % self.height]
        else:
            first, last = max(first, 0), min(last, self.height)
            found = self.values[:, :, first:last]
        return Rows(found.to(self._device, self._dtype), first, last, self.height, self._wraps)


class Strips:
    """How a map is cut. largest: numbers of a strip, about. like, wraps: as in `StoredMap` and `Rows`."""

    def __init__(self, largest: int, like: Tensor, wraps: bool) -> None:
        self.largest, self._like, self._wraps = largest, like, wraps

    def of(self, shape: Shape, source: Map) -> Iterator[tuple[int, int]]:
        """First and last row (excluded) of each strip of a map of this shape that is made of the source's rows."""
        channels, height, width = shape
        row = max(channels * width, source.channels * source.width * source.height // height)
        rows = max(_FEWEST_ROWS, self.largest // row)
        for first in range(0, height, rows):
            yield first, min(first + rows, height)

    def store(self, values: Tensor) -> StoredMap:
        """What is given as a map; its moments are not known."""
        return StoredMap(values, self._like, self._wraps)

    def measured(self, shape: Shape, source: Map, piece: Piece) -> Moments:
        """The moments of a map that is made and forgotten. piece: rows first to last of it."""
        moments = Moments()
        for first, last in self.of(shape, source):
            moments.add(piece(first, last))
        return moments

    def made(self, shape: Shape, source: Map, piece: Piece, over: bool = False) -> StoredMap:
        """A map of pieces, each [n, c, rows, w]. over: in the memory of the source, which is worth nothing
        afterwards, where that is as large and does not wrap."""
        made: StoredMap | None = None
        if over and isinstance(source, StoredMap) and not self._wraps and source.values.shape[1:] == shape:
            made = self.store(source.values)
        waiting: tuple[int, int, Tensor] | None = None
        for first, last in self.of(shape, source):
            values = piece(first, last)
            if made is None:
                made = self.store(torch.empty((len(values), *shape), dtype=values.dtype))
            made.moments.add(values)
            # One strip behind: the next one reads rows of this one's place as they were.
            if waiting is not None:
                made.values[:, :, waiting[0] : waiting[1]] = waiting[2]
            waiting = (first, last, values)
        assert made is not None
        assert waiting is not None
        made.values[:, :, waiting[0] : waiting[1]] = waiting[2]
        return made


def convolved(layer: nn.Conv2d, rows: Rows) -> Rows:
    """A convolution of stride 1 that keeps the size. Answers the rows whose neighbours are known."""
    high, wide = (side // 2 for side in layer.kernel_size)
    above = 0 if rows.wraps or rows.first else high
    below = 0 if rows.wraps or rows.last < rows.height else high
    values = functional.pad(rows.values, (wide, wide, 0, 0), mode="circular") if rows.wraps else rows.values
    values = functional.pad(values, (0, 0, above, below) if rows.wraps else (wide, wide, above, below))
    values = functional.conv2d(values, layer.weight, layer.bias)
    return rows._replace(values=values, first=rows.first + high - above, last=rows.last - high + below)


def halved(layer: nn.Conv2d, source: Map, first: int, last: int) -> Tensor:
    """Rows first to last of a 3x3 convolution of stride 2 with a zero row and column at the far side."""
    rows = source.rows(2 * first, min(2 * last + 1, source.height))
    values = functional.pad(rows.values, (0, 1, 0, 2 * last + 1 - rows.last))
    return functional.conv2d(values, layer.weight, layer.bias, stride=2)


class DoubledMap:
    """A map twice as high and wide as another, through a convolution; made anew whenever rows are read."""

    def __init__(self, source: Map, layer: nn.Conv2d, strips: Strips) -> None:
        self._source, self._layer = source, layer
        self.channels, self.height, self.width = layer.out_channels, 2 * source.height, 2 * source.width
        self.moments = strips.measured(
            (self.channels, self.height, self.width), source, lambda first, last: self.rows(first, last).values
        )

    def rows(self, first: int, last: int) -> Rows:
        """As in `Map`."""
        rows = self._source.rows((first - 1) // 2, last // 2 + 1)
        twice = rows.values.repeat_interleave(2, 2).repeat_interleave(2, 3)
        doubled = Rows(twice, 2 * rows.first, 2 * rows.last, self.height, rows.wraps)
        if not rows.wraps:
            first, last = max(first, 0), min(last, self.height)
        return convolved(self._layer, doubled).cut(first, last)
