"""Adapters: the small tensors that change one layer's weight, their first values and their arithmetic.

LoRA (Hu et al. 2021), DoRA (Liu et al. 2024), LoHa and LoKr (Yeh et al. 2023), named as in LyCORIS' files. DoRA's
magnitudes are those of inputs, as A1111 reads them; LyCORIS writes those of outputs today.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

Shape = tuple[int, ...]
Parts = Mapping[str, Tensor]
UP, DOWN, MAGNITUDE = "lora_up.weight", "lora_down.weight", "dora_scale"


class Adapter(NamedTuple):
    """One kind. shapes(weight's shape, rank, factor): of its tensors. fill(parts, weight, draws): first values, which
    change nothing. delta(parts, weight's shape): the change before scaling, in the weight's shape."""

    shapes: Callable[[Shape, int, int], dict[str, Shape]]
    fill: Callable[[Parts, Tensor, torch.Generator], None]
    delta: Callable[[Parts, Shape], Tensor]


def scale_of(parts: Mapping[str, Shape], alpha: float, rank: int) -> float:
    """alpha / rank; 1 where LoKr's factors are both whole and have no rank."""
    return 1.0 if "lokr_w2" in parts else alpha / rank


def decomposed(weight: Tensor, magnitude: Tensor) -> Tensor:
    """The weight with the lengths of its inputs' columns set to the magnitudes ([1, in] or [1, in, 1, 1])."""
    return weight * (magnitude / lengths(weight))


def lengths(weight: Tensor) -> Tensor:
    """[1, in] or [1, in, 1, 1]: norm over all dimensions but the inputs'."""
    others = tuple(number for number in range(weight.dim()) if number != 1)
    return torch.linalg.vector_norm(weight, dim=others, keepdim=True)


def _lora_shapes(weight: Shape, rank: int, factor: int) -> dict[str, Shape]:
    ones = (1,) * (len(weight) - 2)
    return {DOWN: (rank, *weight[1:]), UP: (weight[0], rank, *ones)}


def _lora_fill(parts: Parts, weight: Tensor, draws: torch.Generator) -> None:
    _uniform(parts[DOWN], draws)
    parts[UP].zero_()


def _lora_delta(parts: Parts, weight: Shape) -> Tensor:
    return (parts[UP].flatten(1) @ parts[DOWN].flatten(1)).reshape(weight)


def _dora_shapes(weight: Shape, rank: int, factor: int) -> dict[str, Shape]:
    return _lora_shapes(weight, rank, factor) | {MAGNITUDE: (1, weight[1], *(1,) * (len(weight) - 2))}


def _dora_fill(parts: Parts, weight: Tensor, draws: torch.Generator) -> None:
    _lora_fill(parts, weight, draws)
    parts[MAGNITUDE].copy_(lengths(weight.float()))


def _loha_shapes(weight: Shape, rank: int, factor: int) -> dict[str, Shape]:
    inward = math.prod(weight[1:])
    halves: dict[str, Shape] = {"a": (weight[0], rank), "b": (rank, inward)}
    return {f"hada_w{number}_{half}": shape for number in (1, 2) for half, shape in halves.items()}


def _loha_fill(parts: Parts, weight: Tensor, draws: torch.Generator) -> None:
    for name, deviation in (("hada_w1_a", 0.1), ("hada_w1_b", 1.0), ("hada_w2_b", 1.0)):
        parts[name].copy_(torch.randn(parts[name].shape, generator=draws) * deviation)
    parts["hada_w2_a"].zero_()


def _loha_delta(parts: Parts, weight: Shape) -> Tensor:
    first, second = (parts[f"hada_w{number}_a"] @ parts[f"hada_w{number}_b"] for number in (1, 2))
    return (first * second).reshape(weight)


def _lokr_shapes(weight: Shape, rank: int, factor: int) -> dict[str, Shape]:
    outward, inward = (factors(side, factor) for side in weight[:2])
    second = (outward[1], inward[1], *weight[2:])
    shapes: dict[str, Shape] = {"lokr_w1": (outward[0], inward[0])}
    if rank < max(second[:2]) / 2:
        return shapes | {"lokr_w2_a": (second[0], rank), "lokr_w2_b": (rank, math.prod(second[1:]))}
    return shapes | {"lokr_w2": second}


def _lokr_fill(parts: Parts, weight: Tensor, draws: torch.Generator) -> None:
    _uniform(parts["lokr_w1"], draws)
    if "lokr_w2" in parts:
        parts["lokr_w2"].zero_()
        return
    _uniform(parts["lokr_w2_b"], draws)
    parts["lokr_w2_a"].zero_()


def _lokr_delta(parts: Parts, weight: Shape) -> Tensor:
    first = parts["lokr_w1"]
    second = parts["lokr_w2"] if "lokr_w2" in parts else parts["lokr_w2_a"] @ parts["lokr_w2_b"]
    second = second.reshape(weight[0] // first.shape[0], weight[1] // first.shape[1], *weight[2:])
    return torch.kron(first.reshape(*first.shape, *(1,) * (len(weight) - 2)), second)


def factors(side: int, most: int) -> tuple[int, int]:
    """Two whole numbers whose product is `side`: `most` and the rest where it divides, else the largest pair below."""
    if most > 0 and side % most == 0:
        return min(most, side // most), max(most, side // most)
    fitting = [one for one in range(1, math.isqrt(side) + 1) if side % one == 0 and (most < 0 or one <= most)]
    return fitting[-1], side // fitting[-1]


def _uniform(tensor: Tensor, draws: torch.Generator) -> None:
    """Kaiming's uniform with a = sqrt(5), as kohya begins: bounds of 1 / sqrt(numbers that an output reads)."""
    bound = 1 / math.sqrt(math.prod(tensor.shape[1:]))
    tensor.copy_((torch.rand(tensor.shape, generator=draws) * 2 - 1) * bound)


ADAPTERS: Mapping[str, Adapter] = {
    "LoRA": Adapter(_lora_shapes, _lora_fill, _lora_delta),
    "LoCon": Adapter(_lora_shapes, _lora_fill, _lora_delta),
    "DoRA": Adapter(_dora_shapes, _dora_fill, _lora_delta),
    "LoHa": Adapter(_loha_shapes, _loha_fill, _loha_delta),
    "LoKr": Adapter(_lokr_shapes, _lokr_fill, _lokr_delta),
}
