"""CFG rescale as a guide: strong guidance keeps the spread that the prompt alone would have (Lin et al. 2023, 3.4)."""

from __future__ import annotations

import torch

from app.recipes.guides import Answered, Call, PlainGuide
from app.samplers import Denoised


class Rescale(PlainGuide):
    """share: of the spread that is taken back; 0 changes nothing, 1 takes all of it."""

    def __init__(self, share: float) -> None:
        self._share = share

    def after(self, answered: Answered, call: Call) -> Denoised:
        """Equations 14 to 16, on velocities: what guidance adds to their spread is taken back.

        A call without the negative prompt is not guided, and stays as it is.
        """
        guided, prompted = answered.denoised.x0, answered.prompted
        if guided is prompted:
            return answered.denoised
        x, sigma = answered.question.x, answered.question.sigma
        steepness = (sigma**2 + 1) ** 0.5 / sigma
        origin = x / (sigma**2 + 1)
        guided_velocity, velocity = (origin - guided) * steepness, (origin - prompted) * steepness
        own, spread = (one.std(dim=(1, 2, 3), keepdim=True) for one in (velocity, guided_velocity))
        kept = own / spread.clamp(min=torch.finfo(own.dtype).tiny)  # both are 0 where next to no noise is left
        share = self._share
        return answered.denoised._replace(x0=origin - guided_velocity * (share * kept + (1 - share)) / steepness)
