"""The lesson of a diffusion training: pictures and captions in, the loss of a target's tensors out.

Every draw follows from seed, epoch, picture and showing, so that neither resuming nor batching changes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from app.conditioning import Conditioning
from app.models import LoadedModel
from app.training.data import Batch, CaptionOptions, Deal, Templates, caption_for
from app.training.latents import Cached
from app.training.objective import add_noise, masked_error, min_snr_weight, target
from app.training.randomness import generator, numpy_generator
from app.training.targets import Target
from app.training.texts import Texts


@dataclass(frozen=True)
class LessonSettings:
    """autocast: what is computed in, None: the weights' own. min_snr_gamma: 0: off. prior_weight: of the loss that
    keeps ordinary ones as they are."""

    seed: int = 0
    autocast: torch.dtype | None = None
    noise_offset: float = 0.0
    min_snr_gamma: float = 0.0
    prior_weight: float = 1.0


@dataclass(frozen=True)
class Pictures:
    """Encoded pictures, each with its mirrored form or without, their captions, and how they are dealt out."""

    cached: Sequence[tuple[Cached, ...]]
    captions: Sequence[str]
    deal: Deal
    options: CaptionOptions = field(default_factory=CaptionOptions)
    templates: Templates | None = None


@dataclass(frozen=True)
class Prior:
    """Ordinary ones that are to stay as they are. taught: by the untouched model's answers at their noised latents;
    else by the noise itself, as if they were to be learnt, too."""

    pictures: Pictures
    taught: bool


class Draws(NamedTuple):
    """What one batch came to. latent, noise: [n, C, h, w]; t: [n]; mask: [n, 1, h, w] or None; numbers: [n, k]."""

    latent: Tensor
    noise: Tensor
    t: Tensor
    mask: Tensor | None
    numbers: Tensor | None
    captions: tuple[str, ...]


class DiffusionLesson:
    """See `Lesson`."""

    def __init__(
        self,
        model: LoadedModel,
        learnt: Target,
        texts: Texts,
        pictures: Pictures,
        settings: LessonSettings,
        prior: Prior | None = None,
    ) -> None:
        self._model = model
        self._target = learnt
        self._texts = texts
        self._pictures = pictures
        self._settings = settings
        self._prior = prior

    def parameters(self) -> Mapping[str, Tensor]:
        """See `Lesson`."""
        return self._target.parameters()

    def loss(self, step: int) -> Tensor:
        """See `Lesson`: of one batch. With a prior, its loss is added, weighted."""
        # Not ended here: where gradients are checkpointed, the way back runs the same layers again.
        self._target.begin(step)
        batch = self._pictures.deal.batch(step)
        drawn = self._drawn(self._pictures, batch, "")
        prior, weight = self._prior, self._settings.prior_weight
        if prior is None or not weight:
            return self._error(drawn)
        ordinary = self._drawn(prior.pictures, prior.pictures.deal.batch(step), "class ")
        if not prior.taught:
            return self._error(drawn) + weight * self._error(ordinary)
        # The teacher answers first: while it does, the weights in training are not in their places.
        with self._target.untouched():
            taught = self.answer(ordinary, frozen=True)
        return self._error(drawn) + weight * masked_error(self.answer(ordinary), taught)

    def _error(self, drawn: Draws) -> Tensor:
        model, gamma = self._model, self._settings.min_snr_gamma
        alphas, prediction = model.alphas_cumprod, model.prediction_type
        wanted = target(drawn.latent, drawn.noise, alphas, drawn.t, prediction)
        weight = min_snr_weight(alphas, drawn.t, gamma, prediction).to(wanted.device) if gamma else None
        return masked_error(self.answer(drawn), wanted, drawn.mask, weight)

    def answer(self, drawn: Draws, *, frozen: bool = False) -> Tensor:
        """[n, C, h, w] float32: what the U-Net says of noised latents. frozen: the text is read as it was at first."""
        model, learnt = self._model, self._target
        x = add_noise(drawn.latent, drawn.noise, model.alphas_cumprod, drawn.t)
        with self._autocast():
            if learnt.trains_text and not frozen:
                read = self._texts.learning(drawn.captions, learnt.vocabularies())
            else:
                read = self._texts.frozen(drawn.captions)
            output: Tensor = model.unet(
                x,
                drawn.t.to(x.device),
                encoder_hidden_states=read.context,
                added_cond_kwargs=_added(read, drawn.numbers),
                return_dict=False,
            )[0]
        return output.float()

    def _autocast(self) -> AbstractContextManager[object]:
        dtype = self._settings.autocast
        return nullcontext() if dtype is None else torch.autocast(self._model.device.type, dtype)

    def _drawn(self, pictures: Pictures, batch: Batch, purpose: str) -> Draws:
        rows = [
            self._row(pictures, f"{purpose}{batch.epoch}/{sample}", sample, showing)
            for sample, showing in zip(batch.samples, batch.shown, strict=True)
        ]
        return self.together(rows)

    def _row(self, pictures: Pictures, name: str, sample: int, showing: int) -> tuple[Cached, Tensor, int, str]:
        """One picture of a batch: its form, noise, timestep and caption."""
        seed = self._settings.seed
        forms = pictures.cached[sample]
        words = numpy_generator(seed, f"words/{name}", showing)
        form = forms[int(words.integers(len(forms)))]
        caption = caption_for(pictures.captions[sample], pictures.options, words, pictures.templates)
        draws = generator(seed, f"noise/{name}", showing)
        t = int(torch.randint(len(self._model.alphas_cumprod), (1,), generator=draws))
        return form, self._noise(form.latent, draws), t, caption

    def _noise(self, latent: Tensor, draws: torch.Generator) -> Tensor:
        noise = torch.randn(latent.shape, generator=draws)
        if self._settings.noise_offset:
            noise = noise + self._settings.noise_offset * torch.randn((len(latent), 1, 1), generator=draws)
        return noise

    def together(self, rows: Sequence[tuple[Cached, Tensor, int, str]]) -> Draws:
        """Rows of one size as a batch on the model's device."""
        device, names = self._model.device, self._model.family.size_numbers
        forms = [row[0] for row in rows]
        masks = [form.mask if form.mask is not None else torch.ones(1, *form.latent.shape[1:]) for form in forms]
        masked = any(form.mask is not None for form in forms)
        numbers = torch.tensor([[form.numbers[name] for name in names] for form in forms])
        return Draws(
            torch.stack([form.latent for form in forms]).to(device),
            torch.stack([row[1] for row in rows]).to(device),
            torch.tensor([row[2] for row in rows]),
            torch.stack(masks).to(device) if masked else None,
            numbers.to(device) if names else None,
            tuple(row[3] for row in rows),
        )

    @torch.no_grad()
    def validation(self, held_out: Pictures, times: int = 4) -> float:
        """Mean loss over held-out pictures at fixed timesteps and noise: comparable from step to step."""
        self._target.begin(None)
        steps = len(self._model.alphas_cumprod)
        total, count = 0.0, 0
        for number, (forms, caption) in enumerate(zip(held_out.cached, held_out.captions, strict=True)):
            draws = generator(self._settings.seed, "validation", number)
            words = numpy_generator(self._settings.seed, "validation words", number)
            text = caption_for(caption, CaptionOptions(), words, held_out.templates)
            for place in range(times):
                noise = torch.randn(forms[0].latent.shape, generator=draws)
                row = (forms[0], noise, int((place + 0.5) * steps / times), text)
                total += float(self._plain_error(self.together([row])))
                count += 1
        return total / max(count, 1)

    def _plain_error(self, drawn: Draws) -> Tensor:
        model = self._model
        wanted = target(drawn.latent, drawn.noise, model.alphas_cumprod, drawn.t, model.prediction_type)
        return masked_error(self.answer(drawn), wanted, drawn.mask)


def _added(read: Conditioning, numbers: Tensor | None) -> dict[str, Tensor] | None:
    """SDXL's pooled text and size numbers, None for the families without."""
    if read.pooled is None or numbers is None:
        return None
    return {"text_embeds": read.pooled, "time_ids": numbers}
