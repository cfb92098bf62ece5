"""Drawing: one picture or latent from a model in training, as the engine would draw it, with the words it is taught.

Draws from no generator but the picture's own, so that a training with samples learns the same as one without.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from app.conditioning import Vocabulary
from app.engine import Runner
from app.language import Tokenizer
from app.models import SDXL, LoadedModel
from app.recipes import Decode, Effect, ModelFacts, Picture, Tools, generate
from app.samplers import ModelSigmas
from app.schema.infotext import picture_entries, write_infotext
from app.schema.request import FileIdentity, GenerationRequest, ImagePlan, ResolvedRequest


def draw_picture(
    model: LoadedModel,
    request: GenerationRequest,
    vocabularies: Sequence[Vocabulary] = (),
    autocast: torch.dtype | None = None,
) -> bytes:
    """A PNG with its prompt inside. autocast: what a model whose weights are wider computes in.

    Raises as the engine does: OutOfMemory, NotFiniteResult, InvalidPrompt.
    """
    with _taught(model, vocabularies), _computing(model, autocast):
        drawing = _Drawing(model, request)
        while drawing.effect is not None:
            drawing.go_on()
        return _png(drawing.picture, drawing.plan)


def draw_latent(model: LoadedModel, request: GenerationRequest, autocast: torch.dtype | None = None) -> Tensor:
    """[C, h, w] float32 on the CPU: what would be decoded to the picture. Raises as `draw_picture`."""
    with _computing(model, autocast):
        drawing = _Drawing(model, request)
        while not isinstance(drawing.effect, Decode):
            drawing.go_on()
        return drawing.effect.latent[0].float().cpu().contiguous()


@contextmanager
def _taught(model: LoadedModel, vocabularies: Sequence[Vocabulary]) -> Iterator[None]:
    before = model.vocabularies
    model.vocabularies = (*before, *vocabularies)
    try:
        yield
    finally:
        model.vocabularies = before


def _computing(model: LoadedModel, autocast: torch.dtype | None) -> torch.autocast:
    return torch.autocast(model.device.type, dtype=autocast, enabled=autocast is not None)


class _Drawing:
    """A picture's recipe under way. plan: what it draws. effect: what it waits for, None once `picture` is there."""

    picture: Picture

    def __init__(self, model: LoadedModel, request: GenerationRequest) -> None:
        self._model = model
        self._sigmas = ModelSigmas.from_alphas_cumprod(model.alphas_cumprod, sdxl=model.family.name == SDXL.name)
        facts = ModelFacts(
            sigmas=self._sigmas,
            alphas_cumprod=model.alphas_cumprod,
            unet_channels=model.unet.config.in_channels,
            latent_channels=model.family.latent_channels,
            pixels_per_latent=model.family.pixels_per_latent,
            family=model.family,
            device=str(model.device),
        )
        path = model.file.path if model.file else ""
        identity = FileIdentity(path=path, size=0, mtime_ns=0)
        resolved = ResolvedRequest(request=request, checkpoint=identity, checkpoint_name=Path(path).stem)
        self.plan = ImagePlan("sample", "training", 0, 0, request.seed, request.variation_seed, resolved)
        self._runner = Runner(Tokenizer())
        self._recipe = generate(self.plan, Tools(facts, lambda call, calls, step, denoised: None))
        self.effect: Effect | None = next(self._recipe)

    def go_on(self) -> None:
        """Carries out what is waited for."""
        assert self.effect is not None
        try:
            self.effect = self._recipe.send(self._runner.run(self._model, self._sigmas, [self.effect])[0])
        except StopIteration as stop:
            self.effect, self.picture = None, stop.value


def _png(picture: Picture, plan: ImagePlan) -> bytes:
    request, told = plan.resolved.request, PngInfo()
    told.add_itxt("parameters", write_infotext(request.prompt, request.negative_prompt, picture_entries(plan)))
    image = Image.fromarray(picture.pixels.permute(1, 2, 0).contiguous().numpy())
    data = io.BytesIO()
    image.save(data, "PNG", pnginfo=told)
    return data.getvalue()
