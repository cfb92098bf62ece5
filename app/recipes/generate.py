"""txt2img, img2img and inpaint from top to bottom: source, prompts, noise, sampling, picture.

Knows the order of things; samplers, guidance, masks and prompt rules know the things.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import torch
from PIL.Image import Image, fromarray
from torch import Tensor

from app.language import Timing
from app.recipes.effects import Effect, ModelFacts, Tools, Upscale
from app.recipes.guidance import guided
from app.recipes.guides import Guide, Scene
from app.recipes.image_channels import channels_without_picture, reads_mask, reads_picture
from app.recipes.passes import Drawing, Drawn, Pass, with_stages
from app.recipes.path import image_noise, own_levels, require_falling, sampler_options, schedule_options
from app.recipes.prompts import read_prompts
from app.recipes.repaint import Repaint
from app.recipes.rescale import Rescale
from app.recipes.source import Scaling, Source, encode_source, prepare, scaling
from app.recipes.turning import Turning
from app.samplers import ImageNoise, ModelSigmas, NoiseOptions, Plan, Tables, model_calls
from app.samplers import plan as plan_from_noise
from app.samplers import plan_img2img as plan_from_picture
from app.schema.choices import NO_UPSCALER, find_sampler
from app.schema.request import GenerationRequest, ImagePlan


def draw(image: ImagePlan, tools: Tools, passing: Pass) -> Drawing:
    """One pass over a picture's plan; passes differ only in the first latent and in what is done around the steps."""
    request, model, choices = image.resolved.request, tools.model, tools.tables.choices
    height, width = request.height // model.pixels_per_latent, request.width // model.pixels_per_latent
    levels = own_levels(request, model)
    source = None if passing.latent is not None else (yield from _source(image, tools, passing, height, width))
    latent = source.latent if source else passing.latent
    path = _path(request, levels or model.sigmas, tools.tables, redrawn=latent is not None)
    if latent is not None:
        height, width = latent.shape[-2:]
    noise = image_noise(image, model, height, width)
    start = _start(request, path, noise.first_noise(), latent)
    timing = Timing(tools.calls_planned(request), first_pass=passing.calls_before, old_rule=request.old_prompt_editing)
    guidance = yield from read_prompts(request, model, timing, request.height, request.width, choices)
    beside = source.image if source else (yield from channels_without_picture(model, height, width))
    editing = source is not None and reads_picture(model) and request.image_cfg_scale != 1
    guidance = guidance._replace(image=beside, image_scale=request.image_cfg_scale if editing else None, levels=levels)
    options = sampler_options(request, path, levels or model.sigmas)
    sampler = passing.sampler or tools.tables.samplers[request.sampler]
    sampling = sampler(start, path.sigmas, noise, options)
    timestep = find_sampler(request.sampler, choices).timestep
    mask = source.mask if source else None
    scene = Scene(height, width, latent, mask, timestep, first=passing.calls_before is None)
    guides = yield from _guides(image, tools, passing, scene)
    calls = model_calls(request.sampler, path.sigmas, choices) or guidance.calls
    guidance = guidance._replace(walked=calls, guides=guides)
    turning = None
    if passing.turn:
        turning = Turning(passing.turn, model, timing, request.height, request.width, choices)
    made, partial = yield from guided(sampling, guidance, calls, tools.report, turning)
    # A guide of an extension that repaints ends with what it likes.
    if mask is not None and latent is not None and isinstance(guides[-1], Repaint):
        made = made * mask + latent * (1 - mask)
    return Drawn(made, partial, run_facts(request, model), source.finishing if source else None, source=source)


generate = with_stages(draw, ())
"""The recipe of a picture for which no extension is asked."""


def run_facts(request: GenerationRequest, model: ModelFacts) -> tuple[tuple[str, str], ...]:
    """Infotext entries that depend on the model: A1111 names an inpainting model's mask weight even where it is 1."""
    if reads_mask(model):
        return (("Conditional mask weight", str(request.inpainting_mask_weight)),)
    if reads_picture(model) and request.init_images:
        return (("Image CFG scale", str(request.image_cfg_scale)),)
    return ()


def _path(request: GenerationRequest, levels: ModelSigmas, tables: Tables, *, redrawn: bool) -> Plan:
    named = (request.sampler, request.schedule, request.steps)
    options = schedule_options(request)
    if not redrawn:
        return require_falling(plan_from_noise(*named, levels, options, tables=tables))
    strength = request.denoising_strength
    exact = request.exact_steps
    return require_falling(plan_from_picture(*named, strength, levels, options, exact_steps=exact, tables=tables))


def _start(request: GenerationRequest, path: Plan, noise: Tensor, latent: Tensor | None) -> Tensor:
    if latent is None:
        return path.start(noise, sgm_noise_multiplier=request.sgm_noise_multiplier)
    return path.start(noise * request.noise_multiplier, latent, extra_noise=request.extra_noise)


def _guides(image: ImagePlan, tools: Tools, passing: Pass, scene: Scene) -> Generator[Effect, Any, tuple[Guide, ...]]:
    """CFG rescale nearest to the model, then what extensions bring, then, unless one of theirs does it, repainting."""
    share = image.resolved.request.cfg_rescale
    guides: list[Guide] = [Rescale(share)] if share else []
    for make in passing.guides:
        guides += yield from make(image, tools, scene)
    if scene.mask is not None and scene.latent is not None and not any(guide.repaints for guide in guides):
        guides.append(Repaint(scene.latent, scene.mask, before=scene.variance_preserving))
    return tuple(guides)


def _source(
    image: ImagePlan, tools: Tools, passing: Pass, height: int, width: int
) -> Generator[Effect, Any, Source | None]:
    """The picture to redraw and its mask, in latents of height x width cells; None to draw from nothing."""
    request, model = image.resolved.request, tools.model
    picture, mask = passing.picture, passing.mask
    if picture is None:
        if not request.init_images:
            return None
        picture = tools.picture(request.init_images[image.image % len(request.init_images)])
        mask = tools.picture(request.mask) if request.mask else None

    def own_noise() -> Tensor:
        options = NoiseOptions(source=request.noise_source)
        return ImageNoise(image.seed, (model.latent_channels, height, width), options, model.device).first_noise()

    size = (width * model.pixels_per_latent, height * model.pixels_per_latent)
    scaled = yield from _enlarged(image, scaling(request, picture, mask, size))
    prepared = prepare(request, picture, mask, size, scaled)
    return (yield from encode_source(request, prepared, model, size, request.inpainting_mask_weight, own_noise))


def _enlarged(image: ImagePlan, wanted: Scaling | None) -> Generator[Effect, Any, Image | None]:
    """What the request's upscaler makes of a picture that has to grow; None where Lanczos does it."""
    name = image.resolved.request.resize_upscaler
    if wanted is None or not wanted.grows or name == NO_UPSCALER:
        return None
    pixels = torch.from_numpy(np.array(wanted.pixels)).permute(2, 0, 1)
    larger = yield Upscale(pixels, name, image.resolved.upscalers.get(name), wanted.width, wanted.height)
    return fromarray(larger.permute(1, 2, 0).contiguous().numpy())
