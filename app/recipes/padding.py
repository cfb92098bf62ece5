"""Padding: what prompt and negative prompt of different lengths do so as to be equally long.

Without it each length is asked in a model call of its own, and the answers are those of the prompts alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from app.conditioning import Conditioning

Rows = tuple[Conditioning, ...]


@dataclass(frozen=True, eq=False)
class Padding:
    """empty: the empty prompt, which fills up whichever is shorter; None: version 0, by which only the negative
    prompt changes: it is extended by its last vector, or cut."""

    empty: Conditioning | None

    def __call__(self, parts: Sequence[Conditioning], negative: Conditioning) -> tuple[Rows, Conditioning]:
        """parts: of one AND, already equally long."""
        length = parts[0].length
        if length == negative.length:
            return tuple(parts), negative
        if self.empty is None:
            if negative.length < length:
                return tuple(parts), negative.extended(length)
            return tuple(parts), replace(negative, context=negative.context[:, :length])
        longest = max(length, negative.length)
        return tuple(self._filled(part, longest) for part in parts), self._filled(negative, longest)

    def _filled(self, row: Conditioning, length: int) -> Conditioning:
        assert self.empty is not None
        times = (length - row.length) // self.empty.length
        context = self.empty.context.to(row.context)
        return replace(row, context=torch.cat([row.context, context.repeat(1, times, 1)], dim=1))


def padding_needed(*lengths: int) -> bool:
    """Whether there are different lengths at all."""
    return len(set(lengths)) > 1
