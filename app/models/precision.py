"""Precision: which number formats a device computes in, given the user's flags; pure functions."""

from __future__ import annotations

from typing import NamedTuple

import torch

from app.schema.errors import UnknownChoice


class Precision(NamedTuple):
    """Formats of the weights and of the computation on them, part by part."""

    unet: torch.dtype
    text: torch.dtype
    vae: torch.dtype

    @property
    def name(self) -> str:
        """As in the infotext: 'fp32', 'bf16', 'fp16', by the U-Net's."""
        return _NAMES[self.unet]


_NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
# A1111's words for --precision and ours; 'autocast' is its default, that is: what suits the device.
_WANTED = {
    "": None,
    "auto": None,
    "autocast": None,
    "full": torch.float32,
    "fp32": torch.float32,
    "half": torch.float16,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}


def precision_word(dtype: torch.dtype) -> str:
    """'fp32', 'bf16' or 'fp16'."""
    return _NAMES[dtype]


def higher_precision(dtype: torch.dtype, device: torch.device) -> torch.dtype | None:
    """What a model that gave NaN is tried in next, None after float32.

    bfloat16 reaches as far as float32 in the memory of float16, so it comes first where the device computes in it.
    """
    if dtype == torch.float32:
        return None
    fast = device.type == "cpu" or (device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False))
    return torch.bfloat16 if dtype == torch.float16 and fast else torch.float32


def choose_precision(
    device: str, wanted: str = "", *, no_half: bool = False, no_half_vae: bool = False, bf16: bool = True
) -> Precision:
    """Precision for a device type ('cpu', 'cuda', 'mps' ...).

    wanted: --precision. no_half, no_half_vae: the flags of these names. bf16: the device computes in it at speed.
    fp16 is 10 to 20 times slower than fp32 on a CPU and never chosen there: asked for half precision, a CPU gets
    bf16 where it is fast, else fp32. Unasked, a CPU gets fp32, the reproducible picture; a GPU gets fp16.
    Raises UnknownChoice for another word.
    """
    if wanted not in _WANTED:
        known = ", ".join(word for word in _WANTED if word)
        raise UnknownChoice(f"There is no precision '{wanted}'.", field="precision", hint=f"Choose one of {known}.")
    dtype = _WANTED[wanted] or (torch.float32 if device == "cpu" else torch.float16)
    if dtype == torch.float16 and device == "cpu":
        dtype = torch.bfloat16
    if dtype == torch.bfloat16 and not bf16:
        dtype = torch.float32 if device == "cpu" else torch.float16
    if no_half:
        dtype = torch.float32
    return Precision(unet=dtype, text=dtype, vae=torch.float32 if no_half_vae else dtype)
