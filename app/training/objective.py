"""The diffusion objective: noised latents, targets and loss weights in closed form.

Knows no model and no data. Steps t run from 0 to N - 1; alphas is the running product of alpha, [N].
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Prediction = Literal["epsilon", "v"]


def add_noise(latent: Tensor, noise: Tensor, alphas: Tensor, t: Tensor) -> Tensor:
    """sqrt(a) * latent + sqrt(1 - a) * noise (Ho et al. 2020, eq. 4). latent, noise: [n, C, h, w]; t: [n]."""
    signal, share = _roots(alphas, t, latent)
    return signal * latent + share * noise


def target(latent: Tensor, noise: Tensor, alphas: Tensor, t: Tensor, prediction: Prediction) -> Tensor:
    """What the model is to answer: the noise, or v = sqrt(a) * noise - sqrt(1 - a) * latent (Salimans and Ho 2022)."""
    if prediction == "epsilon":
        return noise
    signal, share = _roots(alphas, t, latent)
    return signal * noise - share * latent


def denoised(x: Tensor, answer: Tensor, alphas: Tensor, t: Tensor, prediction: Prediction) -> Tensor:
    """The latent that an answer at x means; the inverse of `target`."""
    signal, share = _roots(alphas, t, x)
    if prediction == "v":
        return signal * x - share * answer
    return (x - share * answer) / signal


def min_snr_weight(alphas: Tensor, t: Tensor, gamma: float, prediction: Prediction) -> Tensor:
    """[n]: min(SNR, gamma) / SNR, for v over SNR + 1 (Hang et al. 2023, section 3.4)."""
    a = alphas[t].double()
    snr = a / (1 - a)
    clipped = snr.clamp(max=gamma)
    return (clipped / (snr + 1 if prediction == "v" else snr)).float()


def mean_squared_error(answer: Tensor, wanted: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean over the batch of each sample's mean squared error times its weight. weight: [n] or None for 1."""
    each = (answer.float() - wanted.float()).pow(2).flatten(1).mean(1)
    return (each if weight is None else each * weight).mean()


def masked_error(answer: Tensor, wanted: Tensor, mask: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
    """`mean_squared_error` over what a mask covers, each sample over its mask's mean: small masks learn no less.

    mask: [n, 1, h, w] in 0..1, its mean above 0 for each sample, or None for everything.
    """
    if mask is None:
        return mean_squared_error(answer, wanted, weight)
    share = mask.float().mean((1, 2, 3), keepdim=True)
    each = ((answer.float() - wanted.float()).pow(2) * mask / share).flatten(1).mean(1)
    return (each if weight is None else each * weight).mean()


def _roots(alphas: Tensor, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    a = alphas.to(like.device)[t].to(torch.float32).view(-1, *[1] * (like.ndim - 1))
    return a.sqrt(), (1 - a).sqrt()
