"""Drawing: one picture from a model in training, as the engine would draw it, with the words it is being taught.

Draws from no generator but the picture's own, so that a training with samples learns the same as one without.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from app.conditioning import Vocabulary
from app.engine import Runner
from app.language import Tokenizer
from app.models import SDXL, LoadedModel
from app.recipes import ModelFacts, Picture, Tools, generate
from app.samplers import ModelSigmas
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
    sigmas = ModelSigmas.from_alphas_cumprod(model.alphas_cumprod, sdxl=model.family.name == SDXL.name)
    facts = ModelFacts(
        sigmas=sigmas,
        alphas_cumprod=model.alphas_cumprod,
        unet_channels=model.unet.config.in_channels,
        latent_channels=model.family.latent_channels,
        pixels_per_latent=model.family.pixels_per_latent,
        family=model.family,
        device=str(model.device),
    )
    file = model.file
    identity = FileIdentity(path=file.path if file else "", size=0, mtime_ns=0)
    resolved = ResolvedRequest(request=request, checkpoint=identity, checkpoint_name="")
    plan = ImagePlan("sample", "training", 0, 0, request.seed, request.variation_seed, resolved)
    runner = Runner(Tokenizer())
    before = model.vocabularies
    model.vocabularies = (*before, *vocabularies)
    try:
        with torch.autocast(model.device.type, dtype=autocast, enabled=autocast is not None):
            return _png(_drawn(plan, facts, model, runner, sigmas), request)
    finally:
        model.vocabularies = before


def _drawn(plan: ImagePlan, facts: ModelFacts, model: LoadedModel, runner: Runner, sigmas: ModelSigmas) -> Picture:
    recipe = generate(plan, Tools(facts, lambda call, calls, step, denoised: None))
    effect = next(recipe)
    while True:
        try:
            effect = recipe.send(runner.run(model, sigmas, [effect])[0])
        except StopIteration as stop:
            picture: Picture = stop.value
            return picture


def _png(picture: Picture, request: GenerationRequest) -> bytes:
    told = PngInfo()
    told.add_itxt(
        "parameters",
        f"{request.prompt}\nNegative prompt: {request.negative_prompt}\nSteps: {request.steps}, "
        f"Sampler: {request.sampler}, CFG scale: {request.cfg_scale:g}, Seed: {request.seed}, "
        f"Size: {request.width}x{request.height}",
    )
    image = Image.fromarray(picture.pixels.permute(1, 2, 0).contiguous().numpy())
    data = io.BytesIO()
    image.save(data, "PNG", pnginfo=told)
    return data.getvalue()
