"""A Brownian path that one seed fixes, whatever points are asked for and in whatever order.

Gives the same numbers as torchsde 0.2.6's BrownianTree (Apache-2.0), here with any source of normal draws and
without a cache that grows; a test compares the two.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

POOL_SIZE = 24
DIGITS = 6

Draw = Callable[[int, tuple[int, ...]], Tensor]


class BrownianTree:
    """Increments of one path over [start, end], refined by halving (Li et al. 2020, app. E).

    draw: (seed, shape) -> unit-variance float32. Each half's own draw is seeded by its place in the tree. Times are
    rounded to six digits, where the halving stops. Not for two threads at once.
    """

    def __init__(self, seed: int, shape: tuple[int, ...], start: float, end: float, draw: Draw) -> None:
        self._seed, self._shape, self._draw = seed, shape, draw
        self._start, self._end = round(start, DIGITS), round(end, DIGITS)
        first = np.random.SeedSequence(entropy=seed, pool_size=POOL_SIZE).generate_state(3)[0]
        self._whole = draw(int(first), shape) * math.sqrt(end - start)
        self._last_halves: dict[tuple[int, int], Tensor] = {}
        self._halves: dict[tuple[int, int], Tensor] = {}

    def increment(self, start: float, end: float) -> Tensor:
        """W(end) - W(start), start below end; times outside the path count as its ends."""
        start, end = (round(min(max(time, self._start), self._end), DIGITS) for time in (start, end))
        if start >= end:
            return torch.zeros_like(self._whole)
        pieces: list[Tensor] = []
        self._collect(pieces, start, end, self._start, self._end, (0, 0), self._whole)
        # Neighbouring queries share a boundary, so the halves of the last one are worth keeping, and no others.
        self._last_halves, self._halves = self._halves, {}
        total = pieces[0]
        for piece in pieces[1:]:
            total = total + piece
        return total

    def _collect(
        self, pieces: list[Tensor], start: float, end: float, low: float, high: float, place: tuple[int, int], w: Tensor
    ) -> None:
        """Appends the increments of the largest intervals of the tree that make up [start, end], from left to right.

        low, high, w: the interval at hand and its increment. place: (index, depth) in the tree.
        """
        if start == low and end == high:
            pieces.append(w)
            return
        middle = round(0.5 * (high + low), DIGITS)
        left = self._left_half(low, middle, high, place, w)
        index, depth = place
        if start < middle:
            self._collect(pieces, start, min(end, middle), low, middle, (2 * index, depth + 1), left)
        if end > middle:
            self._collect(pieces, max(start, middle), end, middle, high, (2 * index + 1, depth + 1), w - left)

    def _left_half(self, low: float, middle: float, high: float, place: tuple[int, int], w: Tensor) -> Tensor:
        """The increment over [low, middle], given that over [low, high]: a Brownian bridge."""
        left = self._last_halves.get(place)
        if left is None:
            sequence = np.random.SeedSequence(entropy=self._seed, spawn_key=place, pool_size=POOL_SIZE)
            normal = self._draw(int(sequence.generate_state(4)[0]), self._shape)
            share = 1 / (high - low)
            variance = (middle - low) * (high - middle) * share
            left = (middle - low) * w * share + math.sqrt(variance) * normal
        self._halves[place] = left
        return left


def brownian_noise(tree: BrownianTree) -> Callable[[float, float], Tensor]:
    """Unit-variance noise for a step between two sigmas, from the path over sigma; stepping down turns its sign."""

    def noise(sigma: float, sigma_next: float) -> Tensor:
        # In float32, the precision that schedules have: the tree must be asked for the very same times.
        t, t_next = torch.tensor([sigma, sigma_next], dtype=torch.float32)
        length = (t_next - t).abs().sqrt()
        if length == 0:
            return tree.increment(float(t), float(t))
        if t < t_next:
            return tree.increment(float(t), float(t_next)) / length
        return -tree.increment(float(t_next), float(t)) / length

    return noise
