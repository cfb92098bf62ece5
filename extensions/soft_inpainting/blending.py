"""Blending old and new latents at each step: the mask hardens with the noise, and half-kept places keep their contrast.

Needs torch.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from app.extension_api import Guiding, ImagePlan, Repaint, Scene, Tools

from .settings import SoftInpainting, values_of

NOTHING = 1e-5
"""Keeps the length of a vector that is all 0 from being divided by."""


def guides(image: ImagePlan, tools: Tools, scene: Scene) -> Guiding:
    """Repainting by soft blends, for passes that have a mask."""
    yield from ()
    values = values_of(image.resolved.request)
    if scene.latent is None or scene.mask is None or not values.enabled:
        return []
    blend = partial(blended, values)
    # After each call with every sampler: before it, as A1111 does with DDIM's kin, what is kept would end in noise,
    # since nothing is put back after the last step.
    return [Repaint(scene.latent, scene.mask, before=False, blend=blend)]


def blended(values: SoftInpainting, kept: Tensor, new: Tensor, mask: Tensor, sigma: float) -> Tensor:
    """Old and new [1, C, h, w], joined by the mask [1, 1, h, w] as it counts at this noise.

    Between two latents that have little in common the straight line is short in the middle, which shows as blur. So
    each cell gets the length that the power mean of both lengths has, of the exponent `contrast`.
    """
    share = hardened(values, mask, sigma)
    straight = kept * (1 - share) + new * share
    # In float64, so that a length to the power of 32 is a number.
    lengths = [torch.linalg.vector_norm(one.double(), dim=1, keepdim=True) for one in (kept, new, straight)]
    power, whole = values.contrast, share.double()
    wanted = (lengths[0] ** power * (1 - whole) + lengths[1] ** power * whole) ** (1 / power)
    return straight * (wanted / (lengths[2] + NOTHING)).to(straight)


def hardened(values: SoftInpainting, mask: Tensor, sigma: float) -> Tensor:
    """mask ^ (sigma ^ bias * strength): much noise leaves little of a half-masked place, no noise leaves all of it."""
    return mask ** (sigma**values.bias * values.strength)
