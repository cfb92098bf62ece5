"""Change: what one layer's part of a network does to that layer's weight, whatever the type.

Scale, DoRA and a narrower input are the same for all types and stand here. Computes in float32, in place where it can.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from app.networks.numbers import Scratch

Shape = tuple[int, ...]
Parts = Mapping[str, Tensor]
Shapes = Mapping[str, Shape]
LARGEST_RANK = 4096
MAGNITUDES = ("dora", "magnitude")
"""Parts with DoRA's lengths: LyCORIS' and PEFT's."""
_NOT_PLAIN = frozenset(("mid", "bias", *MAGNITUDES))
"""Parts that make more of a LoRA than the product of two matrices."""


class ReadParts(Protocol):
    """Reads a layer's parts as float32. scratch: where to, if they are needed for a moment only."""

    def __call__(self, device: torch.device, scratch: Scratch | None = None) -> Parts: ...


class Kind(Protocol):
    """One type of network: LoRA, LoHa ... as functions of a layer's parts."""

    @property
    def name(self) -> str: ...
    def fits(self, shapes: Shapes, target: Shape) -> bool:
        """Whether the parts make a change of this shape, or of one with the same numbers in fewer dimensions."""
        ...

    def rank(self, shapes: Shapes) -> int | None:
        """The rank that alpha is divided by; None where the type has none."""
        ...

    def delta(self, parts: Parts, weight: Tensor) -> Tensor:
        """The change for a strength of 1 before scaling, float32, as many numbers as the weight."""
        ...


@dataclass(frozen=True)
class Change:
    """The change of one layer.

    scale: alpha / rank, or what the file says. inputs: channels that the change knows of a layer that has more of
    them (a LoRA for 4 channels on an inpainting model's 9), else None. third: of a change for stacked layers.
    names: of the parts.
    """

    kind: Kind
    parts: ReadParts
    scale: float
    inputs: int | None = None
    third: int | None = None
    names: frozenset[str] = frozenset()

    def applied(
        self, weight: Tensor, strength: float, rank: int | None = None, scratch: Scratch | None = None
    ) -> Tensor:
        """The changed weight. weight: float32, written over. rank: of the change at most, for plain LoRAs.

        scratch: for the parts; begun anew.
        """
        if scratch is not None:
            scratch.begin()
        parts = self.parts(weight.device, scratch)
        if self.third is not None:
            return self._one_third(weight, parts, strength)
        if self.inputs is not None:
            narrow = self._on(weight[:, : self.inputs].contiguous(), parts, strength, rank)
            weight[:, : self.inputs] = narrow
            return weight
        return self._on(weight, parts, strength, rank)

    def _on(self, weight: Tensor, parts: Parts, strength: float, rank: int | None) -> Tensor:
        if "up" in parts and _NOT_PLAIN.isdisjoint(parts) and weight.is_contiguous():
            up, down = parts["up"].flatten(1), parts["down"].flatten(1)
            if rank is not None:
                up, down = up[:, :rank], down[:rank]
            weight.flatten(1).addmm_(up, down, alpha=self.scale * strength)
            return weight
        delta = self.kind.delta(parts, weight).reshape(weight.shape) * self.scale
        if "bias" in parts:
            delta += parts["bias"].reshape(weight.shape)
        for name in MAGNITUDES:
            if name in parts:
                # PEFT's are of outputs always, in as many dimensions as the weight.
                magnitude = parts[name].flatten() if name == "magnitude" else parts[name]
                delta = decomposed(weight + delta, magnitude) - weight
        return weight.add_(delta, alpha=strength)

    def _one_third(self, weight: Tensor, parts: Parts, strength: float) -> Tensor:
        assert self.third is not None
        shape = (3 * weight.shape[0], *weight.shape[1:])
        stacked = self.kind.delta(parts, torch.zeros(shape, device=weight.device)).reshape(shape)
        return weight.add_(stacked.chunk(3)[self.third], alpha=self.scale * strength)


def decomposed(weight: Tensor, magnitude: Tensor) -> Tensor:
    """The weight with its columns (or rows, where the magnitudes are given so) scaled to these lengths.

    DoRA, Liu et al. 2024, eq. 5. LyCORIS' files hold one magnitude for each input, [1, in, 1, 1], or for each output,
    [out, 1, 1, 1]; PEFT's hold [out].
    """
    flat = weight.flatten(1)
    if by_output(tuple(magnitude.shape), tuple(weight.shape)):
        factor = magnitude.reshape(-1, 1) / flat.norm(dim=1, keepdim=True)
        return (flat * factor).reshape(weight.shape)
    columns = weight.transpose(0, 1).flatten(1).norm(dim=1)
    sides = (1, weight.shape[1], *[1] * (weight.dim() - 2))
    return weight * (magnitude.reshape(sides) / columns.reshape(sides))


def by_output(magnitude: Shape, weight: Shape) -> bool:
    """Whether magnitudes of this shape are those of outputs."""
    if len(magnitude) == 1 or magnitude[0] != 1:
        return True
    return math.prod(magnitude) == weight[0] != weight[1]


def dora_fits(magnitude: Shape, weight: Shape) -> bool:
    """Whether magnitudes of this shape belong to a weight of that shape."""
    return len(weight) > 1 and math.prod(magnitude) == weight[0 if by_output(magnitude, weight) else 1]


def same_numbers(shape: Shape, target: Shape) -> bool:
    """Equal but for dimensions of one: today's linear layers are 1x1 convolutions in old files."""
    return [size for size in shape if size != 1] == [size for size in target if size != 1] and (
        not shape or not target or shape[0] == target[0]
    )
