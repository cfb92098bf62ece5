"""What some U-Nets read beside the latent: inpainting's mask and picture, an editing model's picture.

Knows the channels and their order; masks and pictures come from the recipe.
"""

from __future__ import annotations

from collections.abc import Generator

import torch
from torch import Tensor

from app.recipes.effects import EncodeImage, ModelFacts
from app.schema.errors import UnsupportedModel


def reads_mask(model: ModelFacts) -> bool:
    """True for an inpainting model (9 channels: latent, mask, picture)."""
    return model.unet_channels == 2 * model.latent_channels + 1


def reads_picture(model: ModelFacts) -> bool:
    """True for an editing model (8 channels: latent, picture), as instruct-pix2pix (Brooks et al. 2023)."""
    return model.unet_channels == 2 * model.latent_channels


def inpainting_channels(mask: Tensor, picture: Tensor) -> Tensor:
    """[1, 1 + C, h, w] for `Conditioning.image`, the mask first (Rombach et al. 2022, section 4.5).

    mask: [1, 1, h, w], 1 where the picture is to be redrawn. picture: [1, C, h, w], the encoded picture with mid-grey
    under the mask.
    """
    return torch.cat([mask, picture], dim=1)


def channels_without_picture(
    model: ModelFacts, height: int, width: int
) -> Generator[EncodeImage, Tensor, Tensor | None]:
    """[1, k, h, w] for a picture from text alone, None for a model that reads only the latent.

    height, width: of the latent, in cells. An inpainting model is told to redraw all of a grey picture, an editing
    model gets the zeros that it knows from its training. Raises UnsupportedModel for other numbers of channels.
    """
    if model.unet_channels == model.latent_channels:
        return None
    if reads_picture(model):
        return torch.zeros(1, model.latent_channels, height, width, device=model.device)
    if not reads_mask(model):
        raise UnsupportedModel(
            f"This checkpoint reads {model.unet_channels} channels; a latent has {model.latent_channels}, and only "
            f"those for inpainting ({2 * model.latent_channels + 1}) and for editing "
            f"({2 * model.latent_channels}) may have more.",
            field="checkpoint",
            hint="Choose another checkpoint.",
        )
    cell = model.pixels_per_latent
    grey = yield EncodeImage(torch.zeros(3, height * cell, width * cell))
    return inpainting_channels(grey.new_ones(1, 1, height, width), grey)
