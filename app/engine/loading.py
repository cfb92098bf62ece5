"""Loading: reads the model of a choice from disk onto the device, as the flags want it.

Knows flags and files; what stays in memory is PipelineManager's.
"""

from __future__ import annotations

from pathlib import Path

import torch

from app.engine.row import ModelChoice
from app.files import Identity
from app.models import LoadedModel, choose_precision, load_checkpoint, load_vae
from app.schema.errors import ModelChanged, ModelNotFound, UnsupportedModel
from app.schema.request import FileIdentity


class Loading:
    """no_half, no_half_vae: the flags of these names."""

    def __init__(self, device: torch.device, *, no_half: bool = False, no_half_vae: bool = False) -> None:
        self._device = device
        self._no_half = no_half
        self._no_half_vae = no_half_vae

    def __call__(self, choice: ModelChoice) -> LoadedModel:
        """Raises ModelNotFound, ModelChanged when a file is not what was asked for, UnsupportedModel for a VAE of
        another kind of latent, and what the loader raises."""
        require_unchanged(choice.checkpoint, "checkpoint")
        if choice.vae is not None:
            require_unchanged(choice.vae, "vae")
        precision = choose_precision(
            self._device.type, choice.precision, no_half=self._no_half, no_half_vae=self._no_half_vae
        )
        if choice.vae is None:
            return load_checkpoint(choice.checkpoint.path, device=self._device, precision=precision)
        # First, so that the checkpoint may come without one; its scaling factor is the checkpoint's family's.
        vae = load_vae(choice.vae.path, scaling_factor=1.0, device=self._device, dtype=precision.vae)
        model = load_checkpoint(choice.checkpoint.path, device=self._device, precision=precision, vae=vae)
        vae.scaling_factor = model.family.scaling_factor
        wanted = (model.family.latent_channels, model.family.pixels_per_latent)
        if (vae.module.config.latent_channels, vae.pixels_per_latent) != wanted:
            raise UnsupportedModel(
                f"The VAE {vae.name} does not fit {Path(choice.checkpoint.path).name}: its latents have "
                f"{vae.module.config.latent_channels} channels of {vae.pixels_per_latent} pixels, "
                f"the checkpoint's {wanted[0]} of {wanted[1]}.",
                field="vae",
                hint="Choose another VAE, or None for the checkpoint's own.",
            )
        return model


def require_unchanged(file: FileIdentity, field: str) -> None:
    """Raises ModelNotFound when a file is gone, ModelChanged when it was replaced since the job was submitted.

    field: of the request, that named the file.
    """
    try:
        now = Identity.of(file.path)
    except OSError as error:
        raise ModelNotFound(
            f"The file {Path(file.path).name} is gone ({error.strerror}).",
            field=field,
            hint="Refresh the list and choose another.",
        ) from error
    if Path(file.path).is_file() and (now.size, now.mtime_ns) != (file.size, file.mtime_ns):
        raise ModelChanged(
            f"The file {Path(file.path).name} was replaced after the job was submitted.",
            field=field,
            hint="Submit the job again to draw with the new file.",
        )
