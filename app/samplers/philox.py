"""Philox 4x32-10, the generator behind CUDA's randn, in numpy: NV noise on any machine.

Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
KEY_STEPS = (np.uint32(0x9E3779B9), np.uint32(0xBB67AE85))
ROUNDS = 10
UNIT = 2.0**-32
TURN = float(np.float32(UNIT * 2 * math.pi))  # rounded to float32 as in CUDA; everything else is float64
LOW = np.uint64(0xFFFFFFFF)
HIGH = np.uint64(32)


def philox_words(counter: np.ndarray, seed: int) -> np.ndarray:
    """Ten rounds over counters [4, n] uint32 with a 64-bit key; returns [4, n] uint32."""
    first, second, third, fourth = (row.astype(np.uint32) for row in counter)
    keys = np.array([seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF], dtype=np.uint32)
    for _ in range(ROUNDS):
        left, right = first.astype(np.uint64) * MULTIPLIERS[0], third.astype(np.uint64) * MULTIPLIERS[1]
        first = (right >> HIGH).astype(np.uint32) ^ second ^ keys[0]
        second = (right & LOW).astype(np.uint32)
        third = (left >> HIGH).astype(np.uint32) ^ fourth ^ keys[1]
        fourth = (left & LOW).astype(np.uint32)
        keys = keys + np.array(KEY_STEPS, dtype=np.uint32)
    return np.stack([first, second, third, fourth])


class PhiloxGenerator:
    """Normal draws of one seed. Every draw starts its elements anew and counts up the offset, as CUDA's does."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._draw = 0

    def randn(self, shape: tuple[int, ...]) -> Tensor:
        """The next draw: float32 of the given shape, on the CPU, by the sine half of Box and Muller's transform."""
        count = math.prod(shape)
        counter = np.zeros((4, count), dtype=np.uint32)
        counter[0] = self._draw
        counter[2] = np.arange(count, dtype=np.uint32)
        self._draw += 1
        words = philox_words(counter, self._seed)
        radius = words[0] * UNIT + UNIT / 2
        angle = words[1] * TURN + TURN / 2
        normal = np.sqrt(-2.0 * np.log(radius)) * np.sin(angle)
        return torch.from_numpy(normal.reshape(shape).astype(np.float32))
