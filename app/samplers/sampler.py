"""What a sampler asks for, what it is given back, and what it may be told.

A sampler is a generator: it yields the points at which it wants the model evaluated and returns the finished latent.
It knows nothing of prompts, guidance, previews, batching or interruption, and works in the dtype and device of x.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from torch import Tensor

if TYPE_CHECKING:
    from app.samplers.model_sigmas import ModelSigmas


class Point(NamedTuple):
    """Where the model is to be evaluated.

    x: [1, C, h, w] in sigma space, x = x0 + sigma * noise (Karras et al. 2022). The model's own input in
    variance-preserving space is x / sqrt(1 + sigma^2).
    sigma: noise level, above 0.
    step: which step of the schedule this belongs to, from 0; for progress only.
    timestep: the model's timestep where the sampler knows it better than sigma tells (LCM's fifty, UniPC's fractions,
    which are never rounded), else None.
    """

    x: Tensor
    sigma: float
    step: int
    timestep: float | None = None


class Denoised(NamedTuple):
    """The answer to a Point.

    x0: [1, C, h, w], the noise-free latent the model expects behind x, after guidance.
    uncond_x0: the same without the prompt, before guidance; only the CFG++ samplers read it.
    """

    x0: Tensor
    uncond_x0: Tensor | None = None


Sampling = Generator[Point, Denoised, Tensor]
BrownianNoise = Callable[[float, float], Tensor]


class Noise(Protocol):
    """One image's own stream of noise, the same alone and in any batch."""

    def next(self) -> Tensor:
        """The next draw of the stream: [1, C, h, w], unit variance."""
        ...

    def brownian(self, sigma_min: float, sigma_max: float) -> BrownianNoise:
        """A Brownian path over [sigma_min, sigma_max]; called with two sigmas it gives the unit-variance increment
        between them, the same one whenever the same two are asked for."""
        ...


@dataclass(frozen=True)
class SamplerOptions:
    """All that a sampler may be told beside x, sigmas and noise; each reads what concerns it.

    eta: share of noise put back each step; None is the sampler's own default (1, for DDIM 0).
    s_churn, s_tmin, s_tmax: extra noise of Karras et al. 2022, alg. 2, for sigma in [s_tmin, s_tmax];
    s_tmax 0 is no upper limit. s_noise: factor on every noise put back.
    brownian_span: (sigma_min, sigma_max) of the whole schedule where `sigmas` is only its end (img2img), else None.
    model: the model's noise levels, which LCM and UniPC need.
    unipc_*: variant bh1, bh2 or vary_coeff; skip_type time_uniform, time_quadratic or logSNR.
    """

    eta: float | None = None
    s_churn: float = 0.0
    s_tmin: float = 0.0
    s_tmax: float = 0.0
    s_noise: float = 1.0
    brownian_span: tuple[float, float] | None = None
    model: ModelSigmas | None = None
    unipc_variant: str = "bh1"
    unipc_skip_type: str = "time_uniform"
    unipc_order: int = 3
    unipc_lower_order_final: bool = True


class Sampler(Protocol):
    """A way from noise to a picture.

    x: [1, C, h, w] in sigma space at sigmas[0] (see `Plan.start`). sigmas: 1-D, on the CPU, falling.
    Returns the finished latent [1, C, h, w] in the dtype of x.
    """

    def __call__(self, x: Tensor, sigmas: Tensor, noise: Noise, options: SamplerOptions) -> Sampling: ...
