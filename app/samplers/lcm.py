"""LCM: each step jumps to the denoised latent and puts fresh noise on it (Luo et al. 2023, alg. 1)."""

from __future__ import annotations

from torch import Tensor

from app.samplers.sampler import Noise, Point, SamplerOptions, Sampling


def lcm(x: Tensor, sigmas: Tensor, noise: Noise, options: SamplerOptions) -> Sampling:
    """Latent consistency sampling. Needs options.model, at whose fifty distilled timesteps the model is asked.

    The boundary condition of consistency models (all of x at timestep 0) is left out: at these timesteps, 19 and
    above, it changes a latent by less than 1e-5 of itself.
    """
    if options.model is None:
        raise ValueError("LCM needs SamplerOptions.model")
    model = options.model.lcm()
    for step in range(len(sigmas) - 1):
        sigma, sigma_next = sigmas[step], sigmas[step + 1]
        x = (yield Point(x, float(sigma), step, float(model.sigma_to_t(sigma)))).x0
        if sigma_next > 0:
            x = x + sigma_next * noise.next().to(x)
    return x
