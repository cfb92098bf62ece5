"""txt2img from top to bottom: prompts, noise, sampling, picture.

Knows the order of things; samplers, guidance and prompt rules know the things.
"""

from __future__ import annotations

from app.language import Timing
from app.recipes.effects import Decode, ModelFacts, Picture, Recipe, Tools
from app.recipes.guidance import guided
from app.recipes.image_channels import channels_without_picture, reads_mask
from app.recipes.path import image_noise, own_levels, require_falling, sampler_options, schedule_options
from app.recipes.prompts import read_prompts
from app.samplers import SAMPLERS, calls_planned, model_calls, plan
from app.schema.request import GenerationRequest, ImagePlan


def generate(image: ImagePlan, tools: Tools) -> Recipe:
    """One picture from its plan."""
    request, model = image.resolved.request, tools.model
    height, width = request.height // model.pixels_per_latent, request.width // model.pixels_per_latent
    levels = own_levels(request, model)
    named = (request.sampler, request.schedule, request.steps)
    path = require_falling(plan(*named, levels or model.sigmas, schedule_options(request)))
    noise = image_noise(image, model, height, width)
    start = path.start(noise.first_noise(), sgm_noise_multiplier=request.sgm_noise_multiplier)
    timing = Timing(calls_planned(request.sampler, request.steps), old_rule=request.old_prompt_editing)
    guidance = yield from read_prompts(request, model, timing, request.height, request.width)
    beside = yield from channels_without_picture(model, height, width)
    guidance = guidance._replace(image=beside, levels=levels)
    options = sampler_options(request, path, levels or model.sigmas)
    sampling = SAMPLERS[request.sampler](start, path.sigmas, noise, options)
    calls = model_calls(request.sampler, path.sigmas) or guidance.calls
    latent, partial = yield from guided(sampling, guidance, calls, tools.report)
    pixels = yield Decode(latent)
    return Picture(pixels, partial, run_facts(request, model))


def run_facts(request: GenerationRequest, model: ModelFacts) -> tuple[tuple[str, str], ...]:
    """Infotext entries that depend on the model: A1111 names an inpainting model's mask weight even where it is 1."""
    return (("Conditional mask weight", str(request.inpainting_mask_weight)),) if reads_mask(model) else ()
