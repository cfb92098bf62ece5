"""Repainting as a guide: every step keeps what lies outside the mask."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from torch import Tensor

from app.recipes.effects import Effect, Evaluate
from app.recipes.guides import Answered, Call, PlainGuide
from app.samplers import Denoised

Blend = Callable[[Tensor, Tensor, Tensor, float], Tensor]
"""(kept, new, mask, sigma) -> latent: what is kept where the mask is 0, and new where it is 1."""


def linear(kept: Tensor, new: Tensor, mask: Tensor, sigma: float) -> Tensor:
    """Each counts by its share."""
    return new * mask + kept * (1 - mask)


class Repaint(PlainGuide):
    """Holds a pass to `latent` [1, C, h, w] where the mask [1, 1, h, w] is 0; its end is the caller's to hold.

    before: the model is shown the clean latent outside the mask, as A1111 does with timestep samplers (in their
    variance-preserving space), and the sampler gets the noise that the model saw; otherwise its answer is held. blend:
    how old and new are joined where the mask has shades.
    """

    repaints = True

    def __init__(self, latent: Tensor, mask: Tensor, *, before: bool, blend: Blend = linear) -> None:
        self._latent = latent
        self._mask = mask
        self._before = before
        self._blend = blend
        self._moved: Tensor | None = None

    def before(self, question: Evaluate, call: Call) -> Generator[Effect, Any, Evaluate]:
        """As in `Guide`."""
        yield from ()
        if not self._before:
            return question
        growth = (1 + question.sigma**2) ** 0.5
        shown = self._blend(self._latent * growth, question.x, self._mask, question.sigma)
        self._moved = question.x - shown
        return question._replace(x=shown)

    def after(self, answered: Answered, call: Call) -> Denoised:
        """As in `Guide`."""
        x0, uncond = answered.denoised
        if self._moved is not None:
            return Denoised(x0 + self._moved, None if uncond is None else uncond + self._moved)
        return Denoised(self._blend(self._latent, x0, self._mask, answered.question.sigma), uncond)
