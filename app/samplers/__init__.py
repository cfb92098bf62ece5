"""Samplers, schedules and noise: how the way from noise to picture is walked, without knowing what is pictured."""

from app.samplers.model_sigmas import ModelSigmas
from app.samplers.noise import ImageNoise, NoiseOptions
from app.samplers.planning import Plan, ScheduleOptions, img2img_steps, plan, plan_img2img
from app.samplers.sampler import BrownianNoise, Denoised, Noise, Point, Sampler, SamplerOptions, Sampling
from app.samplers.schedules import SCHEDULES, Schedule, ScheduleInputs
from app.samplers.table import BUILT_IN_TABLES, SAMPLERS, Tables, calls_planned, model_calls

__all__ = [
    "BUILT_IN_TABLES",
    "SAMPLERS",
    "SCHEDULES",
    "BrownianNoise",
    "Denoised",
    "ImageNoise",
    "ModelSigmas",
    "Noise",
    "NoiseOptions",
    "Plan",
    "Point",
    "Sampler",
    "SamplerOptions",
    "Sampling",
    "Schedule",
    "ScheduleInputs",
    "ScheduleOptions",
    "Tables",
    "calls_planned",
    "img2img_steps",
    "model_calls",
    "plan",
    "plan_img2img",
]
