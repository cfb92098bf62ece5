"""txt2img from top to bottom: prompts, noise, sampling, picture.

Knows the order of things; samplers, guidance and prompt rules know the things.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from app.language import Reading, Sizes, Timing, plan_texts
from app.recipes.effects import Decode, EncodeText, ModelFacts, Picture, Recipe, Tools
from app.recipes.guidance import Guidance, guided
from app.recipes.image_channels import channels_without_picture, reads_mask
from app.samplers import SAMPLERS, ImageNoise, NoiseOptions, SamplerOptions, calls_planned, model_calls, plan
from app.schema.choices import find_sampler
from app.schema.request import GenerationRequest, ImagePlan


def generate(image: ImagePlan, tools: Tools) -> Recipe:
    """One picture from its plan."""
    request = image.resolved.request
    path = plan(request.sampler, request.schedule, request.steps, tools.model.sigmas)
    noise = _noise(image, tools.model)
    first_noise = noise.first_noise()
    guidance = yield from _read_prompts(request, tools.model)
    beside = yield from channels_without_picture(tools.model, *first_noise.shape[-2:])
    guidance = guidance._replace(image=beside)
    options = SamplerOptions(
        eta=request.eta,
        s_churn=request.s_churn,
        s_tmin=request.s_tmin,
        s_tmax=request.s_tmax,
        s_noise=request.s_noise,
        brownian_span=path.brownian_span,
        model=tools.model.sigmas,
    )
    sampling = SAMPLERS[request.sampler](path.start(first_noise), path.sigmas, noise, options)
    calls = model_calls(request.sampler, path.sigmas) or guidance.calls
    latent, partial = yield from guided(sampling, guidance, calls, tools.report)
    pixels = yield Decode(latent)
    return Picture(pixels, partial, _facts(request, tools.model))


def _facts(request: GenerationRequest, model: ModelFacts) -> tuple[tuple[str, str], ...]:
    """A1111 names the weight of an inpainting model's mask whether it acts or not."""
    return (("Conditional mask weight", str(request.inpainting_mask_weight)),) if reads_mask(model) else ()


def _noise(image: ImagePlan, model: ModelFacts) -> ImageNoise:
    request = image.resolved.request
    cell = model.pixels_per_latent
    options = NoiseOptions(
        source=request.noise_source,
        variation_seed=image.variation_seed,
        variation_strength=request.variation_strength,
        resize_from=(request.seed_resize_height // cell, request.seed_resize_width // cell),
        ensd=request.noise_seed_delta,
    )
    shape = (model.latent_channels, request.height // cell, request.width // cell)
    return ImageNoise(image.seed, shape, options, model.device)


def _read_prompts(request: GenerationRequest, model: ModelFacts) -> Generator[EncodeText, Any, Guidance]:
    calls = calls_planned(request.sampler, request.steps)
    reading = Reading(
        Timing(calls),
        emphasis=request.emphasis,
        clip_skip=request.clip_skip,
        sizes=Sizes(request.height, request.width) if model.family.size_numbers else None,
    )
    texts = plan_texts(request.prompt, request.negative_prompt, reading)
    positive = []
    for part in texts.positive:
        schedule = yield EncodeText(part.unit)
        positive.append((schedule, part.weight))
    negative = yield EncodeText(texts.negative)
    scale = request.cfg_scale * find_sampler(request.sampler).cfg_scale_factor
    return Guidance(tuple(positive), negative, scale, calls)
