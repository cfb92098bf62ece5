"""Eight-bit storage: the large weights of a model kept in 8 bits and computed with in the model's own precision.

Halves the memory of a half-precision U-Net at the price of a rounding; what is small (norms, biases) stays as it is.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def eight_bit_format(word: str) -> torch.dtype:
    """Of the flag's word: 'e4m3fn' (finer) or 'e5m2' (wider)."""
    return {"e4m3fn": torch.float8_e4m3fn, "e5m2": torch.float8_e5m2}[word]


def store_in_eight_bits(module: nn.Module, dtype: torch.dtype) -> None:
    """The weights of all linear and convolution layers become `dtype` (float8_e4m3fn or float8_e5m2), in place.

    Values beyond the format's largest become that one: 448 or 57344.
    """
    largest = torch.finfo(dtype).max
    with torch.inference_mode(mode=False):
        for layer in module.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                layer.weight.data = layer.weight.data.clamp(-largest, largest).to(dtype)
                # Another class instead of another `forward` of the object, which would be a cycle of references and
                # keep the weights in memory until the next collection.
                layer.__class__ = _Linear if isinstance(layer, nn.Linear) else _Convolution


def computes_in(module: nn.Module) -> torch.dtype:
    """The precision that a module computes in: that of its first weight which is not merely stored in 8 bits."""
    return next((weight.dtype for weight in module.parameters() if weight.dtype.itemsize > 1), torch.float32)


class _Linear(nn.Linear):
    """Computes in the precision of its input."""

    def forward(self, input: Tensor) -> Tensor:
        return functional.linear(input, self.weight.to(input.dtype), self.bias)


class _Convolution(nn.Conv2d):
    """Computes in the precision of its input."""

    def forward(self, input: Tensor) -> Tensor:
        # torch's own, since it knows how padding wraps around in pictures without seams.
        return self._conv_forward(input, self.weight.to(input.dtype), self.bias)
