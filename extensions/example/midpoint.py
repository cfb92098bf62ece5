"""The midpoint rule as a sampler: the model is asked half-way, too, over two levels at once. Needs torch."""

from __future__ import annotations

from app.extension_api import Noise, Point, SamplerOptions, Sampling


def midpoint(x, sigmas, noise: Noise, options: SamplerOptions) -> Sampling:  # type: ignore[no-untyped-def]
    """A sampler yields where it wants the model and is sent what it expects there; it returns the finished latent.

    Levels are taken two at a time, the one between them is the midpoint; a last single one is a step of Euler's.
    """
    step = 0
    while step < len(sigmas) - 1:
        begin, middle = sigmas[step], sigmas[step + 1]
        slope = (x - (yield Point(x, float(begin), step)).x0) / begin
        halfway = x + slope * (middle - begin)
        if step + 2 >= len(sigmas) or sigmas[step + 2] >= middle or middle == 0:
            return halfway
        slope = (halfway - (yield Point(halfway, float(middle), step + 1)).x0) / middle
        x = x + slope * (sigmas[step + 2] - begin)
        step += 2
    return x
