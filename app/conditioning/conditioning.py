"""Conditioning: what the U-Net is told about one prompt, and a schedule of it over the calls of a sampling.

Holds tensors and lines them up; does not know how text became vectors or what guidance does with them.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Conditioning:
    """One prompt for one call, or several prompts stacked by `joined`.

    context: [1, 77 * chunks, width] float32, read by cross-attention. pooled: [1, width] float32 or None.
    extra: [1, n] float32, the family's size numbers in its own order (SDXL: six), or None.
    image: [1, k, h, w] float32, the channels that the U-Net reads after the latent's (inpainting: mask and picture,
    editing: the picture), or None.
    """

    context: Tensor
    pooled: Tensor | None = None
    extra: Tensor | None = None
    image: Tensor | None = None

    @property
    def length(self) -> int:
        """Tokens of the context."""
        return self.context.shape[1]

    def repeated(self, length: int) -> Conditioning:
        """The same with its context repeated as a whole to a multiple of its length.

        Attention is unchanged by that: every key and value is there equally often, so the softmax's shares add up
        to the same.
        """
        return replace(self, context=self.context.repeat(1, length // self.length, 1))

    def extended(self, length: int) -> Conditioning:
        """The same with the last vector of its context repeated until it has this length.

        Attention is changed a little; this is what A1111 does with shorter parts of an AND.
        """
        more = self.context[:, -1:].expand(-1, length - self.length, -1)
        return replace(self, context=torch.cat([self.context, more], dim=1))


def aligned(parts: Sequence[Conditioning]) -> tuple[Conditioning, ...]:
    """The parts of one AND at one call, the shorter ones extended to the longest (a1111-facts 2.4)."""
    longest = max(part.length for part in parts)
    return tuple(part if part.length == longest else part.extended(longest) for part in parts)


def joined(rows: Sequence[Conditioning]) -> Conditioning:
    """Stack rows for one model call; contexts of different lengths are repeated to their least common multiple.

    Raises ValueError when some rows have a pooled vector, size numbers or a picture and others have none.
    """
    length = math.lcm(*(row.length for row in rows))
    return Conditioning(
        torch.cat([row.repeated(length).context for row in rows]),
        _stacked(row.pooled for row in rows),
        _stacked(row.extra for row in rows),
        _stacked(row.image for row in rows),
    )


def _stacked(tensors: Iterable[Tensor | None]) -> Tensor | None:
    every = list(tensors)
    given = [tensor for tensor in every if tensor is not None]
    if given and len(given) < len(every):
        raise ValueError("conditionings of different families cannot share a call")
    return torch.cat(given) if given else None


@dataclass(frozen=True, eq=False)
class ConditioningSchedule:
    """The conditionings of one prompt in order. ends: the last call of each; calls count from 0.

    So the first one serves one call more than its number says, as in A1111 (a1111-facts 2.3).
    """

    ends: tuple[int, ...]
    conditionings: tuple[Conditioning, ...]

    def at(self, call: int, calls_planned: int) -> Conditioning:
        """What the model reads at a call, 0 ... calls_planned.

        A sampler that goes on beyond (DPM adaptive) gets the first one again, as in A1111.
        """
        if call > calls_planned:
            return self.conditionings[0]
        return self.conditionings[min(bisect_left(self.ends, call), len(self.ends) - 1)]
