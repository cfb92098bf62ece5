"""Vae: pictures to latents and back, whole or in strips, in float32 once half precision failed.

Latents here are the U-Net's: already multiplied by the scaling factor. Knows nothing of files or of sampling.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from app.models.vae_in_strips import decode_in_strips, encode_in_strips
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

    def decode(self, latent: Tensor, strip: int | None = None) -> Tensor:
        """[n, 4, h, w] latent of the U-Net -> [n, 3, 8h, 8w] float32, about -1..1, not clamped.

        strip: numbers of a layer that are worked on at once, to spare memory; None for all of them.
        Raises NotFiniteResult when even float32 gives NaN or infinity.
        """
        scaled = latent.to(self.device, torch.float32) / self.scaling_factor

        def run() -> Tensor:
            if strip is not None:
                return decode_in_strips(self.module, scaled, strip).to(self.device)
            pixels: Tensor = self.module.decode(scaled.to(self.dtype), return_dict=False)[0]
            return pixels.float()

        return self._finite(run, "decoding")

    def encode(self, image: Tensor, noise: Tensor | None = None, strip: int | None = None) -> Tensor:
        """[n, 3, H, W] picture in -1..1 -> [n, 4, H/8, W/8] float32 latent of the U-Net.

        noise: standard normal of the latent's shape for a sample of the posterior; None for its mean.
        strip: as in decode.
        """
        pixels = image.to(self.device, torch.float32)

        def run() -> Tensor:
            if strip is not None:
                return encode_in_strips(self.module, pixels, strip).to(self.device)
            moments: Tensor = self.module.encode(pixels.to(self.dtype), return_dict=False)[0].parameters
            return moments.float()

        mean, log_variance = self._finite(run, "encoding").chunk(2, dim=1)
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
