"""The baseline of the overhead benchmark: prompt to PNG in one plain loop over the same modules.

No jobs, no events, no scheduler: what a careful person would write in a notebook. Same threads, same wait policy,
inference mode.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image


@torch.inference_mode()
def picture(
    model: Any,
    tokens: tuple[list[int], list[int]],
    *,
    sigmas: list[float],
    timesteps: list[float],
    cfg_scale: float,
    width: int,
    height: int,
    seed: int,
    out: Path,
) -> None:
    """Draws one picture with Euler's method and writes it.

    tokens: 77 ids of the prompt and of the negative prompt. sigmas: falling, with the 0 at the end.
    timesteps: the U-Net's, one for each step.
    """
    context = torch.cat([_encode(model, ids) for ids in tokens])
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1, 4, height // 8, width // 8, generator=generator) * sigmas[0]
    for sigma, following, timestep in zip(sigmas, sigmas[1:], timesteps, strict=False):
        scale = (sigma**2 + 1) ** 0.5
        both = torch.cat([x, x])
        output = model.unet(both / scale, torch.tensor([timestep, timestep]), context, return_dict=False)[0]
        if model.prediction_type == "v":
            denoised = both / scale**2 - output * (sigma / scale)
        else:
            denoised = both - output * sigma
        positive, negative = denoised.chunk(2)
        guided = negative + cfg_scale * (positive - negative)
        x = x + (x - guided) / sigma * (following - sigma)
    decoded = model.vae.module.decode(x / model.vae.scaling_factor, return_dict=False)[0]
    pixels = ((decoded[0] + 1) / 2).clamp(0, 1).mul(255).to(torch.uint8).permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(out)


def _encode(model: Any, ids: list[int]) -> torch.Tensor:
    hidden: torch.Tensor = model.text_encoders[0].module(torch.tensor([ids])).last_hidden_state
    return hidden
