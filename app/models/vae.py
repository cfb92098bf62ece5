"""Vae: pictures to latents and back, whole or in tiles, in float32 once half precision failed.

Latents here are the U-Net's: already multiplied by the scaling factor. Knows nothing of files or of sampling.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from app.schema.errors import NotFiniteResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.files.model_file import Identity

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Vae:
    """A variational autoencoder on a device.

    module: diffusers' AutoencoderKL. scaling_factor: latent of the U-Net over latent of the module.
    file: None when it is the one baked into the checkpoint. name: for messages and the infotext.
    architecture: equal for two whose modules can take each other's weights.
    """

    module: Any
    scaling_factor: float
    pixels_per_latent: int = 8
    file: Identity | None = None
    name: str = ""
    architecture: object = None

    @property
    def dtype(self) -> torch.dtype:
        """Precision it computes in; float32 after half precision has given NaN once."""
        return next(self.module.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """Where the weights live."""
        return next(self.module.parameters()).device

    def decode(self, latent: Tensor, tile: int | None = None, overlap: int = 16) -> Tensor:
        """[n, 4, h, w] latent of the U-Net -> [n, 3, 8h, 8w] float32, about -1..1, not clamped.

        tile: side of a tile in latent cells, None for the whole at once; overlap: cells that neighbours share.
        Raises NotFiniteResult when even float32 gives NaN or infinity.
        """
        scaled = latent.to(self.device, torch.float32) / self.scaling_factor

        def run(part: Tensor) -> Tensor:
            pixels: Tensor = self.module.decode(part.to(self.dtype), return_dict=False)[0]
            return pixels.float()

        return self._finite(lambda: _tiled(run, scaled, tile, overlap, scale=self.pixels_per_latent), "decoding")

    def encode(self, image: Tensor, noise: Tensor | None = None, tile: int | None = None, overlap: int = 16) -> Tensor:
        """[n, 3, H, W] picture in -1..1 -> [n, 4, H/8, W/8] float32 latent of the U-Net.

        noise: standard normal of the latent's shape for a sample of the posterior; None for its mean.
        tile, overlap: in latent cells, as in decode.
        """
        pixels = image.to(self.device, torch.float32)

        def run(part: Tensor) -> Tensor:
            moments: Tensor = self.module.encode(part.to(self.dtype), return_dict=False)[0].parameters
            return moments.float()

        factor = self.pixels_per_latent
        cells = None if tile is None else tile * factor
        moments = self._finite(lambda: _tiled(run, pixels, cells, overlap * factor, scale=1 / factor), "encoding")
        mean, log_variance = moments.chunk(2, dim=1)
        if noise is None:
            return mean * self.scaling_factor
        deviation = torch.exp(0.5 * log_variance.clamp(-30.0, 20.0))
        return (mean + deviation * noise.to(self.device, torch.float32)) * self.scaling_factor

    def _finite(self, run: Callable[[], Tensor], stage: str) -> Tensor:
        result = run()
        if bool(torch.isfinite(result).all()):
            return result
        if self.dtype != torch.float32:
            name, half = self.name or "of this checkpoint", str(self.dtype).removeprefix("torch.")
            logger.warning("The VAE %s gave NaN while %s in %s; from now on it runs in float32.", name, stage, half)
            with torch.inference_mode(mode=False):  # weights made inside it could never be trained or patched
                self.module.to(torch.float32)
            result = run()
            if bool(torch.isfinite(result).all()):
                return result
        raise NotFiniteResult(
            f"The VAE {self.name or 'of this checkpoint'} gave no valid numbers while {stage}.",
            hint="Choose another VAE; the file or the latent is broken.",
        )


def _tiled(run: Callable[[Tensor], Tensor], whole: Tensor, tile: int | None, overlap: int, scale: float) -> Tensor:
    """Run a function over overlapping tiles of [n, c, h, w] and mix them with ramps that fade out at inner edges.

    The answer of `run` is `scale` times as high and wide as its input; all sizes must stay whole numbers.
    """
    height, width = whole.shape[-2:]
    if tile is None or (height <= tile and width <= tile):
        return run(whole)
    total: Tensor | None = None
    weights = torch.zeros(1, 1, round(height * scale), round(width * scale), device=whole.device)
    for top in _starts(height, tile, overlap):
        for left in _starts(width, tile, overlap):
            bottom, right = min(top + tile, height), min(left + tile, width)
            part = run(whole[..., top:bottom, left:right])
            if total is None:
                total = part.new_zeros(part.shape[0], part.shape[1], *weights.shape[-2:])
            rows = _ramp(bottom - top, overlap, top > 0, bottom < height, scale, whole.device)
            columns = _ramp(right - left, overlap, left > 0, right < width, scale, whole.device)
            fade = rows[:, None] * columns[None, :]
            place = (
                ...,
                slice(round(top * scale), round(bottom * scale)),
                slice(round(left * scale), round(right * scale)),
            )
            total[place] += part * fade
            weights[place] += fade
    assert total is not None
    return total / weights


def _starts(size: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin so that they cover `size` and neighbours share at least `overlap`."""
    if size <= tile:
        return [0]
    stride = max(tile - overlap, 1)
    return [*range(0, size - tile, stride), size - tile]


def _ramp(size: int, overlap: int, fade_in: bool, fade_out: bool, scale: float, device: torch.device) -> Tensor:
    """Weights of one side of a tile: 1 inside, falling linearly over the overlap at edges with a neighbour."""
    length, edge = round(size * scale), max(round(overlap * scale), 1)
    ramp = torch.ones(length, device=device)
    slope = (torch.arange(edge, device=device) + 0.5) / edge
    if fade_in:
        ramp[:edge] *= slope[:length]
    if fade_out:
        ramp[-edge:] *= slope.flip(0)[-length:]
    return ramp
