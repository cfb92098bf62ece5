"""PreviewShelf: how a latent is shown while it is in work; keeps the small decoder (TAESD) that is used for it.

Without such a decoder, or where it fails, previews are the linear map of the model.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor

from app.files import Identity
from app.models import TinyDecoder, load_tiny_decoder, thumbnail, tiny_decoder_for

if TYPE_CHECKING:
    from app.models import LoadedModel

logger = logging.getLogger(__name__)

LARGEST = 64
"""Side in latent cells above which a latent is made smaller before it is decoded: a preview is not zoomed into."""


class PreviewShelf:
    """One thread. files: decoders that are to be used, asked each time; none for the linear map."""

    def __init__(self, device: torch.device, files: Callable[[], Sequence[Path]] = lambda: ()) -> None:
        self._device = device
        self._files = files
        self._kept: TinyDecoder | None = None
        self._refused: set[Identity] = set()

    def picture(self, latent: Tensor, model: LoadedModel) -> Image.Image:
        """RGB preview of a latent [1, C, h, w] of the U-Net: one pixel per cell, or eight where a decoder is used."""
        decoder = self._decoder(model)
        if decoder is None:
            return thumbnail(latent, model.preview)
        longer = max(latent.shape[-2:])
        if longer > LARGEST:
            size = [max(1, round(side * LARGEST / longer)) for side in latent.shape[-2:]]
            latent = torch.nn.functional.interpolate(latent.float(), size, mode="area")
        return decoder.picture(latent)

    def clear(self) -> None:
        """Gives the memory back."""
        self._kept = None

    def _decoder(self, model: LoadedModel) -> TinyDecoder | None:
        """The family's decoder, loaded if need be; a file that cannot be used is said once and left out."""
        path = tiny_decoder_for(model.family, self._files())
        if path is None:
            self._kept = None
            return None
        try:
            identity = Identity.of(path)
            if identity in self._refused:
                return None
            if self._kept is None or self._kept.file != identity:
                self._kept = None
                self._kept = load_tiny_decoder(path, device=self._device)
        except Exception as error:  # noqa: BLE001 - a preview is worth no picture
            logger.warning("Previews do without %s: %s", path.name, error)
            self._refused.add(Identity.of(path))
            return None
        return self._kept
