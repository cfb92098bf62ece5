"""Samplers, schedules and noise, as generators that know nothing of prompts."""

from app.samplers.sampler import BrownianNoise, Denoised, Noise, Point, Sampler, SamplerOptions, Sampling

__all__ = ["BrownianNoise", "Denoised", "Noise", "Point", "Sampler", "SamplerOptions", "Sampling"]
