"""Conditioning: what the U-Net is told about one prompt, and a schedule of it over the calls of a sampling.

Holds tensors and lines them up; does not know how text became vectors or what guidance does with them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

SIZE_NUMBERS = "size_numbers"
"""Key in `extra`: [1, n] float32, the family's size numbers in its own order (SDXL: six)."""


@dataclass(frozen=True, eq=False)
class Conditioning:
    """One prompt for one call, or several prompts stacked by `joined`.

    context: [1, 77 * chunks, width] float32, read by cross-attention. pooled: [1, width] float32 or None.
    extra: further [1, ...] tensors that the family's U-Net wants, by name.
    """

    context: Tensor
    pooled: Tensor | None = None
    extra: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """Tokens of the context."""
        return self.context.shape[1]

    def repeated(self, length: int) -> Conditioning:
        """The same with its context repeated as a whole to a multiple of its length.

        Attention is unchanged by that: every key and value is there equally often, so the softmax's shares add up
        to the same.
        """
        return Conditioning(self.context.repeat(1, length // self.length, 1), self.pooled, self.extra)

    def extended(self, length: int) -> Conditioning:
        """The same with the last vector of its context repeated until it has this length.

        Attention is changed a little; this is what A1111 does with shorter parts of an AND.
        """
        more = self.context[:, -1:].expand(-1, length - self.length, -1)
        return Conditioning(torch.cat([self.context, more], dim=1), self.pooled, self.extra)


def aligned(parts: Sequence[Conditioning]) -> tuple[Conditioning, ...]:
    """The parts of one AND at one call, the shorter ones extended to the longest."""
    longest = max(part.length for part in parts)
    return tuple(part if part.length == longest else part.extended(longest) for part in parts)


def joined(rows: Sequence[Conditioning]) -> Conditioning:
    """Stack rows for one model call; contexts of different lengths are repeated to their least common multiple.

    Raises ValueError when some rows have a pooled vector or an extra that others lack.
    """
    length = math.lcm(*(row.length for row in rows))
    pooled = [row.pooled for row in rows if row.pooled is not None]
    names = set(rows[0].extra)
    if len(pooled) not in (0, len(rows)) or any(set(row.extra) != names for row in rows):
        raise ValueError("conditionings of different families cannot share a call")
    return Conditioning(
        torch.cat([row.repeated(length).context for row in rows]),
        torch.cat(pooled) if pooled else None,
        {name: torch.cat([row.extra[name] for row in rows]) for name in rows[0].extra},
    )


@dataclass(frozen=True, eq=False)
class ConditioningSchedule:
    """The conditionings of one prompt in order. ends: the last call of each; calls count from 0.

    So the first one serves one call more than its number says, as in A1111 (a1111-facts 2.3).
    """

    ends: tuple[int, ...]
    conditionings: tuple[Conditioning, ...]

    def at(self, call: int) -> Conditioning:
        """What the model reads at a call. Past the end the first one comes back, as in A1111 with DPM adaptive."""
        for end, conditioning in zip(self.ends, self.conditionings, strict=True):
            if call <= end:
                return conditioning
        return self.conditionings[0]
