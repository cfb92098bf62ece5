"""From a request's fields to its noise levels, its noise and what its sampler is told.

Shared by every recipe that samples; knows nothing of prompts, pictures and guidance.
"""

from __future__ import annotations

from app.recipes.effects import ModelFacts
from app.samplers import ImageNoise, ModelSigmas, NoiseOptions, Plan, SamplerOptions, ScheduleOptions
from app.schema.errors import InvalidField
from app.schema.request import GenerationRequest, ImagePlan


def own_levels(request: GenerationRequest, model: ModelFacts) -> ModelSigmas | None:
    """The noise levels that the request wants instead of the model's own; None where it wants none."""
    zero_terminal_snr = request.noise_schedule == "Zero Terminal SNR"
    if not (request.quantize_timesteps or request.downcast_alphas or zero_terminal_snr):
        return None
    return ModelSigmas.from_alphas_cumprod(
        model.alphas_cumprod,
        sdxl=model.sigmas.sdxl,
        quantize=request.quantize_timesteps,
        downcast=request.downcast_alphas,
        zero_terminal_snr=zero_terminal_snr,
    )


def schedule_options(request: GenerationRequest) -> ScheduleOptions:
    """What the request changes about its schedule."""
    return ScheduleOptions(
        sigma_min=request.sigma_min,
        sigma_max=request.sigma_max,
        rho=request.rho,
        old_karras_range=request.old_karras_sigmas,
        always_discard_next_to_last=request.discard_next_to_last_sigma,
        beta_alpha=request.beta_alpha,
        beta_beta=request.beta_beta,
        unipc_skip_type=request.unipc_skip_type,
    )


def sampler_options(request: GenerationRequest, path: Plan, levels: ModelSigmas) -> SamplerOptions:
    """All that the request tells its sampler. levels: those that the path was planned with."""
    return SamplerOptions(
        eta=request.eta,
        s_churn=request.s_churn,
        s_tmin=request.s_tmin,
        s_tmax=request.s_tmax,
        s_noise=request.s_noise,
        brownian_span=path.brownian_span,
        model=levels,
        unipc_variant=request.unipc_variant,
        unipc_skip_type=request.unipc_skip_type,
        unipc_order=request.unipc_order,
        unipc_lower_order_final=request.unipc_lower_order_final,
    )


def require_falling(path: Plan) -> Plan:
    """Raises InvalidField where the levels do not fall from one to the next, as no sampler can walk them."""
    if bool((path.sigmas[1:] < path.sigmas[:-1]).all()):
        return path
    raise InvalidField(
        "With these settings the noise does not fall from step to step.",
        field="sigma_max",
        hint="Leave the sigmas and rho of the schedule at 0, or choose a max sigma above the min sigma.",
    )


def image_noise(image: ImagePlan, model: ModelFacts, height: int, width: int) -> ImageNoise:
    """The stream of one picture. height, width: of its latent, in cells."""
    request = image.resolved.request
    cell = model.pixels_per_latent
    options = NoiseOptions(
        source=request.noise_source,
        variation_seed=image.variation_seed,
        variation_strength=request.variation_strength,
        resize_from=(request.seed_resize_height // cell, request.seed_resize_width // cell),
        ensd=request.noise_seed_delta,
    )
    return ImageNoise(image.seed, (model.latent_channels, height, width), options, model.device)
