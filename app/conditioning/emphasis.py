"""Emphasis: how the weights of tokens act on an encoder's output (a1111-facts 2.8)."""

from __future__ import annotations

import torch
from torch import Tensor


def emphasised(hidden: Tensor, weights: Tensor, mode: str, times: Tensor) -> Tensor:
    """Weigh the vectors of one chunk of all texts of a unit.

    hidden: [n, 77, width] float32. weights: [n, 77], 1 for BOS, EOS and padding. mode: 'Original' keeps the mean
    over everything as it was, 'No norm' does not, 'Ignore' and 'None' leave hidden alone.
    times: [n], how often each text occurs in the unit; the mean counts it as often.
    """
    if mode in ("Ignore", "None") or bool((weights == 1).all()):
        return hidden
    weighed = hidden * weights.unsqueeze(-1)
    if mode == "No norm":
        return weighed
    return weighed * (_mean(hidden, times) / _mean(weighed, times))


def _mean(hidden: Tensor, times: Tensor) -> Tensor:
    return torch.dot(hidden.mean(dim=(1, 2)), times) / times.sum()
