"""Guidance scale as an input: distilled U-Nets (LCM) are told how strong guidance is to be, and need no second call.

Only the numbers; whether guidance is also applied from outside is the recipe's business.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

# At which the published LCM was made to be used (Luo et al. 2023, section 5).
USUAL_SCALE = 8.0


def guidance_embedding(scales: Tensor, width: int) -> Tensor:
    """[n] guidance scales -> [n, width] float32 sines and cosines of the scale less one.

    Luo et al. 2023 (Latent Consistency Models), section 4.2; frequencies as for timesteps, the scale taken times 1000.
    """
    half = width // 2
    frequencies = torch.exp(torch.arange(half, device=scales.device) * (-math.log(10000) / max(half - 1, 1)))
    angles = (scales.float() - 1)[:, None] * 1000 * frequencies
    embedding = torch.cat([angles.sin(), angles.cos()], dim=1)
    return torch.nn.functional.pad(embedding, (0, width - 2 * half))


def takes_guidance_scale(unet: Any) -> bool:
    """Whether a U-Net has this input."""
    return bool(getattr(unet.config, "time_cond_proj_dim", None))


def guide_as_usual(unet: Any) -> None:
    """Make a distilled U-Net take the usual scale wherever its caller gives no `timestep_cond`."""
    width = unet.config.time_cond_proj_dim

    def fill_in(_: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if len(arguments) > 1 and arguments[1] is not None:
            return None
        sample: Tensor = arguments[0]
        scales = torch.full((len(sample),), USUAL_SCALE, device=sample.device)
        return sample, guidance_embedding(scales, width).to(sample.dtype)

    unet.time_embedding.register_forward_pre_hook(fill_in)
