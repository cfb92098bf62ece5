"""Previews: a latent -> a small picture, one pixel per latent cell, by a linear map of its channels.

Rows of a map: one (red, green, blue) per latent channel and a last one of offsets; the result is in -1..1.
Cheap enough to run several times a second beside the sampling; not the picture, only its look.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

Rows = Sequence[tuple[float, float, float]]


def thumbnail(latent: Tensor, rows: Rows) -> Image.Image:
    """[4, h, w] or [1, 4, h, w] latent of the U-Net -> RGB picture of w x h pixels.

    rows: `LoadedModel.preview`. Not-a-number becomes grey, so that a broken picture is seen as such.
    """
    cells = latent.detach().reshape(latent.shape[-3:]).to("cpu", torch.float32)
    table = torch.tensor(rows, dtype=torch.float32)
    mixed = torch.einsum("chw,cr->hwr", cells, table[:-1]) + table[-1]
    pixels = mixed.nan_to_num(0.0).add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    return Image.fromarray(pixels.numpy())


def fit_preview(latents: Tensor, pictures: Tensor) -> tuple[tuple[float, float, float], ...]:
    """The map that best predicts pictures from latents, in the sense of least squares.

    latents: [n, 4, h, w] of the U-Net. pictures: [n, 3, H, W] in -1..1; each cell is compared with the mean of
    its pixels. The answer may be written to a file's metadata as `preview_factors`.
    """
    channels = latents.shape[1]
    targets = torch.nn.functional.interpolate(pictures.double(), latents.shape[-2:], mode="area")
    cells = latents.double().permute(0, 2, 3, 1).reshape(-1, channels)
    cells = torch.cat([cells, torch.ones(len(cells), 1, dtype=torch.float64, device=cells.device)], dim=1)
    table = torch.linalg.lstsq(cells, targets.permute(0, 2, 3, 1).reshape(-1, 3)).solution
    return tuple((float(red), float(green), float(blue)) for red, green, blue in table.tolist())
