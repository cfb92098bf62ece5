"""LoRA and LoCon: a change that is the product of two thin matrices (Hu et al. 2021), for convolutions too."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from app.networks.change import Parts, Shape, Shapes


class LowRank:
    """up: [out, r] (or [out, r, 1, 1]), down: [r, in] (or [r, in, k, k]), mid: [r, r, k, k] of a Tucker form."""

    name = "LoRA"

    def fits(self, shapes: Shapes, target: Shape) -> bool:
        """See `Kind`."""
        up, down = shapes["up"], shapes["down"]
        if len(up) < 2 or len(down) < 2 or len(target) < 2:
            return False
        rank = math.prod(up[1:])
        if up[0] != target[0]:
            return False
        if "mid" in shapes:
            mid = shapes["mid"]
            inner = len(mid) == 4 and mid[0] == rank and mid[1] == down[0]
            return inner and math.prod(down[1:]) == target[1] and mid[2:] == target[2:]
        return down[0] == rank and math.prod(down[1:]) == math.prod(target[1:])

    def rank(self, shapes: Shapes) -> int | None:
        """Rows of the second factor."""
        return shapes["down"][0]

    def delta(self, parts: Parts, weight: Tensor) -> Tensor:
        """up @ down, or with mid: sum over m, n of up[o, m] * mid[m, n, k, l] * down[n, i]."""
        up, down = parts["up"].flatten(1), parts["down"].flatten(1)
        if "mid" not in parts:
            return up @ down
        return torch.einsum("om,mnkl,ni->oikl", up, parts["mid"], down)


LORA = LowRank()
