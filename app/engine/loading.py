"""Loading: reads the model of a choice from disk onto the device, as the flags want it.

Knows flags and files; what stays in memory is PipelineManager's.
"""

from __future__ import annotations

from pathlib import Path

import torch

from app.engine.row import ModelChoice
from app.files import Identity
from app.models import LoadedModel, choose_precision, load_checkpoint, load_vae
from app.schema.errors import ModelChanged, ModelNotFound
from app.schema.request import FileIdentity


class Loading:
    """no_half, no_half_vae: the flags of these names."""

    def __init__(self, device: torch.device, *, no_half: bool = False, no_half_vae: bool = False) -> None:
        self._device = device
        self._no_half = no_half
        self._no_half_vae = no_half_vae

    def __call__(self, choice: ModelChoice) -> LoadedModel:
        """Raises ModelNotFound, ModelChanged when a file is not what was asked for, and what the loader raises."""
        require_unchanged(choice.checkpoint)
        precision = choose_precision(
            self._device.type, choice.precision, no_half=self._no_half, no_half_vae=self._no_half_vae
        )
        model = load_checkpoint(choice.checkpoint.path, device=self._device, precision=precision)
        if choice.vae is not None:
            require_unchanged(choice.vae)
            model.vae = load_vae(
                choice.vae.path,
                scaling_factor=model.family.scaling_factor,
                device=self._device,
                dtype=precision.vae,
            )
        return model


def require_unchanged(file: FileIdentity) -> None:
    """Raises ModelNotFound when a file is gone, ModelChanged when it was replaced since the job was submitted."""
    try:
        now = Identity.of(file.path)
    except OSError as error:
        raise ModelNotFound(
            f"The file {Path(file.path).name} is gone ({error.strerror}).",
            field="checkpoint",
            hint="Refresh the list and choose another.",
        ) from error
    if Path(file.path).is_file() and (now.size, now.mtime_ns) != (file.size, file.mtime_ns):
        raise ModelChanged(
            f"The file {Path(file.path).name} was replaced after the job was submitted.",
            field="checkpoint",
            hint="Submit the job again to draw with the new file.",
        )
