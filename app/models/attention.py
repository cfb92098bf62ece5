"""Attention and padding: which kernel a model runs, and convolutions that wrap around.

PyTorch's own scaled dot product is the rule; xformers is used only where a trial call of it works.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

logger = logging.getLogger(__name__)


def choose_attention(wanted: str, device: torch.device, dtype: torch.dtype) -> str:
    """'sdpa', or 'xformers' when it is wanted and one call of its kernel works on this device in this dtype.

    That xformers imports proves nothing: its kernels are built for one torch and one CUDA.
    """
    if wanted != "xformers":
        return "sdpa"
    try:
        import xformers.ops  # noqa: PLC0415 - an optional package that takes a second and prints

        row = torch.zeros(1, 8, 8, 64, device=device, dtype=dtype)
        xformers.ops.memory_efficient_attention(row, row, row)
    except Exception as error:  # noqa: BLE001 - whatever a foreign kernel raises, the answer is the same
        reason = str(error).strip().splitlines() or [type(error).__name__]
        logger.warning("xformers does not work here, PyTorch's own attention is used: %s", reason[0])
        return "sdpa"
    return "xformers"


def use_attention(module: Any, name: str) -> None:
    """Set the kernel ('sdpa' or 'xformers') of every attention in a diffusers model."""
    # diffusers takes seconds to import and is there already when a model is.
    from diffusers.models.attention_processor import AttnProcessor2_0, XFormersAttnProcessor  # noqa: PLC0415

    module.set_attn_processor(XFormersAttnProcessor() if name == "xformers" else AttnProcessor2_0())


def seamless(modules: Iterable[nn.Module]) -> Callable[[], None]:
    """Make every padded convolution wrap around its input, so that pictures tile; the answer undoes it exactly.

    Weights are not touched. The 1x1 convolutions and the encoder's own one-sided padding have nothing to wrap.
    """
    changed: list[tuple[nn.Conv2d, Any]] = []
    for module in modules:
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d) and layer.padding_mode != "circular":
                changed.append((layer, layer.padding_mode))
                layer.padding_mode = "circular"

    def undo() -> None:
        for layer, mode in changed:
            layer.padding_mode = mode

    return undo
