"""The starter's VAE: how it learns to draw 128-pixel pictures from four latent channels, and how these are made even.

Knows pictures; nothing of prompts or of diffusion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from app.starter.captions import training_scene
from app.starter.scenes import draw_scene
from app.starter.world import LOOKS, Look, Scene
from app.training.randomness import generator

CHANNELS = (32, 32, 64, 64)
GROUPS = 4
KL_WEIGHT = 1e-3
EVENNESS_WEIGHT = 0.02
FIRST_LOG_VARIANCE = -6.0
EDGE_WEIGHT = 1.0
LOOK_WEIGHT = 0.2
SCALING_FACTOR = 0.18215
SMALLEST_VARIANCE = 1e-2
DECODER_NOISE = 0.12
"""Deviation of what is added to a latent of deviation 1: what the diffusion leaves undecided, the decoder decides."""


def build_autoencoder() -> Any:
    """An AutoencoderKL with factor 8; groups of 8 channels and more, since smaller ones stall (instance norm)."""
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL  # noqa: PLC0415 - takes seconds

    module = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=CHANNELS,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=GROUPS,
        scaling_factor=SCALING_FACTOR,
    )
    with torch.no_grad():
        # A posterior as wide as the prior drowns colour in noise: with it, 600 steps learnt brightness alone.
        module.quant_conv.weight[4:] *= 0.1
        module.quant_conv.bias[4:] = FIRST_LOG_VARIANCE
    return module


@torch.no_grad()
def take_up(module: Any, finished: Any) -> None:
    """A finished VAE's weights, ready to learn again: a latent of deviation 1, a posterior that has a width."""
    module.load_state_dict(finished.state_dict())
    module.quant_conv.weight[:4] *= SCALING_FACTOR
    module.quant_conv.bias[:4] *= SCALING_FACTOR
    module.quant_conv.bias[4:] = FIRST_LOG_VARIANCE
    module.post_quant_conv.weight /= SCALING_FACTOR


def picture(seed: int, number: int, width: int = 128, height: int = 128, look: Look | None = None) -> Tensor:
    """[3, H, W] uint8: training picture `number` of a run's seed; `look`: in that look."""
    scene = training_scene(seed, number)
    return drawn(scene._replace(look=look) if look else scene, number, width, height)


def drawn(scene: Scene, number: int, width: int = 128, height: int = 128) -> Tensor:
    """[3, H, W] uint8: a scene with the small differences of one number."""
    return torch.from_numpy(np.array(draw_scene(scene, number, width, height))).permute(2, 0, 1).contiguous()


@dataclass
class AutoencoderLesson:
    """Crops of 64 pixels first, whole pictures over the last quarter; L1, edges, a little KL, and an even latent.

    All looks as often, and each cell of a latent has to say which it is of, to a small reader that is thrown away.
    """

    module: Any
    seed: int
    steps: int
    batch: int

    def __post_init__(self) -> None:
        self._reader = nn.Sequential(nn.Conv2d(4, 32, 1), nn.SiLU(), nn.Conv2d(32, len(LOOKS), 1))

    def parameters(self) -> Mapping[str, Tensor]:
        """All of the autoencoder, and the reader of looks."""
        reader = {f"reader.{name}": tensor for name, tensor in self._reader.named_parameters()}
        return dict(self.module.named_parameters()) | reader

    def loss(self, step: int) -> Tensor:
        """The loss of the step's own pictures."""
        whole = step >= self.steps * 3 // 4
        count = self.batch // 4 if whole else self.batch
        numbers = [step * self.batch + number for number in range(count)]
        looks = torch.tensor([number % len(LOOKS) for number in range(step, step + count)])
        pairs = zip(numbers, looks.tolist(), strict=True)
        pictures = torch.stack([picture(self.seed, number, look=LOOKS[look]) for number, look in pairs])
        if not whole:
            pictures = _crops(pictures, generator(self.seed, "crop", step))
        x = pictures.float() / 127.5 - 1
        moments = self.module.encode(x, return_dict=False)[0]
        noise = torch.randn(moments.mean.shape, generator=generator(self.seed, "posterior", step))
        drawn = self.module.decode(moments.mean + moments.std * noise, return_dict=False)[0]
        mean, log_variance = moments.mean, moments.logvar
        divergence = 0.5 * (mean.pow(2) + log_variance.exp() - 1 - log_variance).mean()
        told = self._reader(mean)
        said = looks[:, None, None].expand(-1, *told.shape[-2:])
        return (
            _drawing_error(drawn, x)
            + KL_WEIGHT * divergence
            + EVENNESS_WEIGHT * _unevenness(mean)
            + LOOK_WEIGHT * functional.cross_entropy(told, said)
        )


@dataclass
class DecoderLesson:
    """The decoder alone, from cached latents [n, 4, 16, 16] of pictures 0 ... n - 1 with a little noise on them.

    All looks as often.
    """

    module: Any
    latents: Tensor
    seed: int
    batch: int

    def __post_init__(self) -> None:
        looks = [training_scene(self.seed, n).look for n in range(len(self.latents))]
        numbered = {look: [number for number, one in enumerate(looks) if one == look] for look in LOOKS}
        self._numbers = {look: numbers for look, numbers in numbered.items() if numbers}

    def parameters(self) -> Mapping[str, Tensor]:
        """What stands behind the latent."""
        parts = ("decoder.", "post_quant_conv.")
        return {name: tensor for name, tensor in self.module.named_parameters() if name.startswith(parts)}

    def loss(self, step: int) -> Tensor:
        """The loss of the step's own pictures."""
        draws = generator(self.seed, "decoder", step)
        looks = [list(self._numbers)[(step + place) % len(self._numbers)] for place in range(self.batch)]
        places = torch.rand(self.batch, generator=draws).tolist()
        chosen = [
            self._numbers[look][int(place * len(self._numbers[look]))]
            for look, place in zip(looks, places, strict=True)
        ]
        latent = self.latents[chosen].float()
        noised = latent + DECODER_NOISE * torch.randn(latent.shape, generator=draws)
        x = torch.stack([picture(self.seed, number) for number in chosen]).float() / 127.5 - 1
        return _drawing_error(self.module.decode(noised / SCALING_FACTOR, return_dict=False)[0], x)


def _drawing_error(drawn: Tensor, x: Tensor) -> Tensor:
    """How far a drawing [n, 3, H, W] is from the picture: L1, and L1 of its edges."""
    return (drawn - x).abs().mean() + EDGE_WEIGHT * _edge_error(drawn, x)


def _crops(pictures: Tensor, draws: torch.Generator, size: int = 64) -> Tensor:
    """One crop of each picture, on the latent's grid of 8 pixels: pixel art has a grid of its own."""
    room = (pictures.shape[-1] - size) // 8
    corners = (8 * torch.randint(0, room + 1, (len(pictures), 2), generator=draws)).tolist()
    pairs = zip(pictures, corners, strict=True)
    return torch.stack([one[:, top : top + size, left : left + size] for one, (top, left) in pairs])


def _unevenness(mean: Tensor) -> Tensor:
    """How far the latent channels' covariance is from the identity. mean: [n, 4, h, w].

    Without it two of four directions end empty: brightness is learnt first, and what comes later shares its channel.
    """
    cells = mean.movedim(1, -1).reshape(-1, mean.shape[1])
    return (torch.cov(cells.T) - torch.eye(mean.shape[1])).pow(2).mean()


def _edge_error(drawn: Tensor, x: Tensor) -> Tensor:
    """L1 of the differences between neighbours, at full and at half size: sharp edges, even areas."""
    error = torch.zeros(())
    for _ in range(2):
        for axis in (-1, -2):
            error = error + (drawn.diff(dim=axis) - x.diff(dim=axis)).abs().mean()
        drawn, x = functional.avg_pool2d(drawn, 2), functional.avg_pool2d(x, 2)
    return error / 2


@torch.no_grad()
def psnr(module: Any, pictures: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of pictures [n, 3, H, W] uint8 through mean and back."""
    x = pictures.float() / 127.5 - 1
    drawn = module.decode(module.encode(x, return_dict=False)[0].mean, return_dict=False)[0].clamp(-1, 1)
    return float(10 * torch.log10(4 / (drawn - x).pow(2).mean()))


@torch.no_grad()
def even_out(module: Any, pictures: Tensor) -> tuple[float, ...]:
    """Scales the latent so that SD's factor .18215 gives channels of variance 1; returns the eigenvalues.

    Symmetrically, so that each channel keeps its meaning and a diffusion learnt before finds its way.

    Folded into quant_conv and post_quant_conv, so that no loader needs to know. Directions that carry nothing are not
    blown up. The posterior becomes nearly certain, as in SD's own VAE. pictures: [n, 3, H, W] uint8.
    """
    parts = [module.encode(some.float() / 127.5 - 1, return_dict=False)[0].mean for some in pictures.split(32)]
    cells = torch.cat(parts).permute(0, 2, 3, 1).reshape(-1, 4).double()
    mean = cells.mean(0)
    values, vectors = torch.linalg.eigh(torch.cov((cells - mean).T))
    scale = values.clamp(min=SMALLEST_VARIANCE * float(values.max())).rsqrt() / SCALING_FACTOR
    forth = (vectors * scale) @ vectors.T
    back = torch.linalg.inv(forth)
    quant, post = module.quant_conv, module.post_quant_conv
    weight, bias = quant.weight[:4, :, 0, 0].double(), quant.bias[:4].double()
    quant.weight[:4, :, 0, 0] = (forth @ weight).float()
    quant.bias[:4] = (forth @ (bias - mean)).float()
    quant.weight[4:] = 0
    quant.bias[4:] = -12
    decoded, offset = post.weight[:, :, 0, 0].double(), post.bias.double()
    post.weight[:, :, 0, 0] = (decoded @ back).float()
    post.bias.copy_((decoded @ mean + offset).float())
    return tuple(values.tolist())
