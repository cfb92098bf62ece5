"""OFT and BOFT: a weight turned by orthogonal blocks (Qiu et al. 2023, Liu et al. 2023).

Files of kohya, of LyCORIS (old and new) and of PEFT.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from app.networks.change import Parts, Shape, Shapes


class Rotated:
    """OFT on outputs: blocks [n, b, b] with n * b = out. BOFT: [m, n, b, b], m butterfly stages one after another.

    'oft_diag' holds the rotations themselves, 'oft_blocks' what makes them (the upper half of a skew matrix counts);
    alpha limits the norm of the skew part to alpha * out. rescale: [out], a factor for each output.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def fits(self, shapes: Shapes, target: Shape) -> bool:
        """See `Kind`."""
        blocks = shapes["oft_blocks"] if "oft_blocks" in shapes else shapes["oft_diag"]
        if len(target) < 2 or len(blocks) not in (3, 4) or blocks[-1] != blocks[-2]:
            return False
        if blocks[-3] * blocks[-1] != target[0]:
            return False
        stages = blocks[0] if len(blocks) == 4 else 0
        if stages > 32 or (stages and (blocks[-1] % 2 or target[0] % (2**stages * (blocks[-1] // 2)))):
            return False
        return "rescale" not in shapes or math.prod(shapes["rescale"]) == target[0]

    def rank(self, shapes: Shapes) -> int | None:
        """None: alpha is a limit here, no numerator."""
        return None

    def delta(self, parts: Parts, weight: Tensor) -> Tensor:
        """See `Kind`."""
        if "oft_blocks" in parts:
            alpha = float(parts["alpha"]) if "alpha" in parts else 0.0
            turns = rotations(parts["oft_blocks"], alpha * weight.shape[0])
        else:
            turns = parts["oft_diag"]
        turned = _butterfly(turns, weight) if turns.dim() == 4 else _by_blocks(turns, weight)
        if "rescale" in parts:
            turned = turned * parts["rescale"].reshape(-1, *[1] * (weight.dim() - 1))
        return turned - weight


class TurnedInputs:
    """PEFT's OFT on inputs: oft_R [n, b (b - 1) / 2] holds the upper halves of skew matrices; one may serve all blocks.

    The rotation is PEFT's: a Neumann series of five terms in place of the inverse, as it trains by default.
    """

    name = "OFT"

    def fits(self, shapes: Shapes, target: Shape) -> bool:
        """See `Kind`."""
        if len(target) < 2 or len(shapes["oft_R"]) != 2:
            return False
        size = _side(shapes["oft_R"][1])
        inputs = math.prod(target[1:])
        return size is not None and inputs % size == 0 and shapes["oft_R"][0] in (1, inputs // size)

    def rank(self, shapes: Shapes) -> int | None:
        """None."""
        return None

    def delta(self, parts: Parts, weight: Tensor) -> Tensor:
        """See `Kind`."""
        halves = parts["oft_R"]
        size = _side(halves.shape[1])
        assert size is not None
        skew = halves.new_zeros(halves.shape[0], size, size)
        rows, columns = torch.triu_indices(size, size, 1, device=halves.device)
        skew[:, rows, columns] = halves
        skew = skew - skew.transpose(-1, -2)
        square = skew @ skew
        turns = torch.eye(size, device=skew.device) + 2 * skew + 2 * square + 2 * (square @ skew) + square @ square
        flat = weight.flatten(1)
        blocks = flat.reshape(flat.shape[0], -1, size)
        turned = torch.einsum("onb,ncb->onc", blocks, turns.expand(blocks.shape[1], -1, -1))
        return turned.reshape(weight.shape) - weight


def rotations(blocks: Tensor, limit: float) -> Tensor:
    """Cayley transform (I + Q) (I - Q)^-1 of Q = B - B^T, whose norm is brought down to the limit, 0 for none."""
    skew = blocks - blocks.transpose(-1, -2)
    if limit > 0:
        norm = skew.norm()
        skew = skew * ((norm.clamp(max=limit) + 1e-8) / (norm + 1e-8))
    unit = torch.eye(blocks.shape[-1], device=blocks.device)
    return (unit + skew) @ torch.linalg.inv(unit - skew)


def _by_blocks(turns: Tensor, weight: Tensor) -> Tensor:
    blocks = weight.reshape(turns.shape[0], turns.shape[1], -1)
    return torch.einsum("nab,nac->nbc", turns, blocks).reshape(weight.shape)


def _butterfly(turns: Tensor, weight: Tensor) -> Tensor:
    """m stages; stage i mixes outputs that lie 2^i half blocks apart, so the outputs are shuffled before and after."""
    outputs, half = weight.shape[0], turns.shape[-1] // 2
    order = torch.arange(outputs, device=weight.device)
    flat = weight.flatten(1)
    for stage, blocks in enumerate(turns):
        shuffled = order.reshape(-1, 2, 2**stage * half).transpose(1, 2).flatten()
        mixed = torch.einsum("nab,nbc->nac", blocks, flat[shuffled].reshape(*blocks.shape[:2], -1))
        flat = torch.empty_like(flat)
        flat[shuffled] = mixed.reshape(outputs, -1)
    return flat.reshape(weight.shape)


def _side(numbers: int) -> int | None:
    """b for b (b - 1) / 2 numbers."""
    size = (1 + math.isqrt(1 + 8 * numbers)) // 2
    return size if numbers and size * (size - 1) // 2 == numbers else None


OFT = Rotated("OFT")
BOFT = Rotated("BOFT")
PEFT_OFT = TurnedInputs()
