"""Effects: all that a recipe may ask the engine for, and what it gets back.

Values only. A recipe yields an effect and is sent its answer; who else shares the model call it never learns.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

if TYPE_CHECKING:
    from app.conditioning import Conditioning
    from app.language import TextUnit
    from app.models import Family
    from app.samplers import ModelSigmas


class EncodeText(NamedTuple):
    """One prompt (or one part of an AND) with its whole schedule. Answer: ConditioningSchedule."""

    unit: TextUnit


class Evaluate(NamedTuple):
    """The U-Net at one point, once for each conditioning.

    x: [1, C, h, w] float32 in sigma space (picture + sigma * noise). timestep: where it must not be the one that
    belongs to sigma. Answer: [n, C, h, w] float32, the denoised latent for each of the n conditionings, in order.
    """

    x: Tensor
    sigma: float
    conditionings: tuple[Conditioning, ...]
    timestep: float | None = None


class Decode(NamedTuple):
    """A latent to pixels. latent: [1, C, h, w]. Answer: [3, H, W] uint8 on the CPU."""

    latent: Tensor


Effect = EncodeText | Evaluate | Decode


class Skip(Exception):
    """Thrown into a recipe to end it early: guidance answers with the last denoised latent."""


class Picture(NamedTuple):
    """What a recipe returns. pixels: [3, H, W] uint8; partial: ended early by Skip."""

    pixels: Tensor
    partial: bool


Recipe = Generator[Effect, Any, Picture]


@dataclass(frozen=True)
class ModelFacts:
    """What a recipe must know of the model that will carry out its effects.

    sigmas: noise level of each training step. latent_channels, pixels_per_latent: of the VAE (4 and 8).
    family: whose rules the text encoders follow. device: where latents live and what the noise source 'GPU' means.
    """

    sigmas: ModelSigmas
    latent_channels: int
    pixels_per_latent: int
    family: Family
    device: str


@dataclass(frozen=True)
class Tools:
    """What the engine lends a recipe besides answers.

    report(call, calls, step, denoised): after each guided model call; call counts from 1, `calls` is the number
    planned, denoised is the guided latent [1, C, h, w], which the caller may keep but not change.
    """

    model: ModelFacts
    report: Callable[[int, int, int, Tensor], None]
