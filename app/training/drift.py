"""Drift: how far what ordinary prompts draw has moved away from what the untouched model draws of them.

The overfit meter: a few latents drawn in four steps from fixed noise, compared with those of the first weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from app.models import LoadedModel
from app.training.latents import Cached
from app.training.lesson import DiffusionLesson
from app.training.objective import add_noise, denoised
from app.training.randomness import generator
from app.training.targets import Target

MOST_CAPTIONS = 4
_STEPS = 4


class DriftMeter:
    """captions: of ordinary ones, at most `MOST_CAPTIONS` are drawn. width, height: in pixels."""

    def __init__(
        self,
        model: LoadedModel,
        learnt: Target,
        lesson: DiffusionLesson,
        captions: Sequence[str],
        *,
        width: int,
        height: int,
        seed: int,
    ) -> None:
        self._model = model
        self._target = learnt
        self._lesson = lesson
        self._captions = tuple(captions)[:MOST_CAPTIONS]
        side = model.family.pixels_per_latent
        self._shape = (model.family.latent_channels, height // side, width // side)
        sizes = {"height": height, "width": width, "target_height": height, "target_width": width}
        self._numbers = {"crop_top": 0.0, "crop_left": 0.0, **{name: float(size) for name, size in sizes.items()}}
        self._seed = seed
        with learnt.untouched():
            self._first = self._drawn(frozen=True)

    @torch.no_grad()
    def measure(self) -> float:
        """Root mean square of the change over that of the first latents: 0 for none, 1.4 for pictures unrelated."""
        self._target.begin(None)
        now = self._drawn(frozen=False)
        moved = sum(float((one - first).square().mean()) for one, first in zip(now, self._first, strict=True))
        size = sum(float(first.square().mean()) for first in self._first)
        return (moved / size) ** 0.5 if size else 0.0

    def _drawn(self, *, frozen: bool) -> list[Tensor]:
        return [self._latent(number, caption, frozen) for number, caption in enumerate(self._captions)]

    def _latent(self, number: int, caption: str, frozen: bool) -> Tensor:
        """DDIM without guidance (Song et al. 2021, eq. 12, eta 0), one row at a time: no more memory than a step."""
        alphas, prediction = self._model.alphas_cumprod, self._model.prediction_type
        noise = torch.randn(self._shape, generator=generator(self._seed, "drift", number))
        latent = torch.zeros(self._shape)
        for place in reversed(range(_STEPS)):
            t = int((place + 0.5) * len(alphas) / _STEPS)
            drawn = self._lesson.together([(Cached(latent, None, self._numbers), noise, t, caption)])
            x = add_noise(drawn.latent, drawn.noise, alphas, drawn.t)
            answer = self._lesson.answer(drawn, frozen=frozen)
            latent = denoised(x, answer, alphas, drawn.t, prediction)[0].cpu()
            share = float(alphas[t])
            noise = (x[0].cpu() - share**0.5 * latent) / (1 - share) ** 0.5
        return latent
