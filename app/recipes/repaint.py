"""Repainting: a sampler whose every step keeps what lies outside the mask.

Stands between a sampler and guidance; neither knows of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from app.samplers import Denoised

if TYPE_CHECKING:
    from app.samplers import Sampling


def repainted(sampling: Sampling, latent: Tensor, mask: Tensor, *, before: bool) -> Sampling:
    """The same walk, held to `latent` [1, C, h, w] where the mask [1, 1, h, w] is 0; its end is the caller's to hold.

    before: the model is shown the clean latent outside the mask, as A1111 does with timestep samplers (in their
    variance-preserving space), and the sampler gets the noise that the model saw; otherwise its answer is held.
    """
    try:
        point = next(sampling)
        while True:
            if before:
                growth = (1 + point.sigma**2) ** 0.5
                shown = point._replace(x=point.x * mask + latent * growth * (1 - mask))
                denoised = yield shown
                moved = point.x - shown.x
                uncond = denoised.uncond_x0
                denoised = Denoised(denoised.x0 + moved, None if uncond is None else uncond + moved)
            else:
                denoised = yield point
                denoised = Denoised(denoised.x0 * mask + latent * (1 - mask), denoised.uncond_x0)
            point = sampling.send(denoised)
    except StopIteration as stop:
        end: Tensor = stop.value
        return end
