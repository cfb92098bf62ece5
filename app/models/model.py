"""LoadedModel: one checkpoint's modules on a device, with the facts that pictures need.

Holds weights and facts; does not read files, choose devices or decide when to swap. `PipelineManager` is the
only owner: everyone else borrows a model for one group of work.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from app.files.model_file import Identity
from app.models.eight_bit import computes_in
from app.models.families import Family, PredictionType

if TYPE_CHECKING:
    from app.models.text_encoder import TextEncoder
    from app.models.vae import Vae


class TokenVectors(NamedTuple):
    """What a textual inversion puts in place of a run of token ids.

    length: how many token ids of the text are replaced. vectors: one [n, width] float32 tensor per text encoder
    of the family, the same n for all; n rows go into the chunk where the ids stood.
    """

    name: str
    length: int
    vectors: tuple[Tensor, ...]


class Recommended(NamedTuple):
    """Settings that a file asks for in its metadata; None where it says nothing. width, height: pixels."""

    width: int
    height: int
    steps: int | None = None
    cfg_scale: float | None = None
    sampler: str | None = None


@dataclass(eq=False)
class LoadedModel:
    """One checkpoint in memory.

    file: None for weights without a file (a training's preview); then `fingerprint` is given by the caller.
    unet: diffusers' UNet2DConditionModel. unet.config.in_channels: 4 plain, 9 inpainting, 8 instruct-pix2pix.
    prediction_type: what the U-Net answers: the noise ('epsilon') or the velocity ('v').
    alphas_cumprod: [train_steps] float32 on the CPU, the last entry tiny for a zero-terminal-SNR model.
    recommended: native size and settings. preview: rows of `app.models.previews`.
    fingerprint: equal for equal weights in the same dtype; networks are not part of it.
    networks: fingerprints of the networks now applied, in order; kept by PipelineManager. vocabularies: the words
    that they teach, for `app.conditioning`.
    architecture: equal for two models whose modules can take each other's weights.
    report: sentences about the file that a person may want to read (keys that were ignored and the like).
    compute_device: where it computes, if its parts may lie elsewhere in between; None: where the U-Net lies.
    """

    family: Family
    unet: Any
    text_encoders: tuple[TextEncoder, ...]
    vae: Vae
    prediction_type: PredictionType
    alphas_cumprod: Tensor
    recommended: Recommended
    preview: tuple[tuple[float, float, float], ...]
    fingerprint: str
    file: Identity | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    networks: tuple[str, ...] = ()
    vocabularies: tuple[Any, ...] = ()
    architecture: object = None
    report: tuple[str, ...] = ()
    compute_device: torch.device | None = None

    @property
    def sigmas(self) -> Tensor:
        """[train_steps] float32, rising: noise level of each training step, sqrt((1 - a) / a)."""
        return ((1 - self.alphas_cumprod) / self.alphas_cumprod) ** 0.5

    @property
    def device(self) -> torch.device:
        """Where it computes; the U-Net is there whenever it runs."""
        device: torch.device = self.compute_device or next(self.unet.parameters()).device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """Precision that the U-Net computes in, whatever its weights are stored in."""
        return computes_in(self.unet)

    def parts(self) -> Iterator[tuple[str, nn.Module]]:
        """Name and module of every part: 'unet', 'vae', 'text_encoders.0', ..."""
        yield "unet", self.unet
        yield "vae", self.vae.module
        for number, encoder in enumerate(self.text_encoders):
            yield f"text_encoders.{number}", encoder.module

    def weights(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Path and tensor of every weight a network may patch: U-Net and text encoders, not the VAE.

        Paths: 'unet.' and diffusers' name, or 'text_encoders.0.text_model.' and transformers' name; the
        'text_model.' is there for every encoder, whatever the installed transformers calls its modules.
        """
        for name, weight in self.unet.named_parameters():
            yield f"unet.{name}", weight
        for number, encoder in enumerate(self.text_encoders):
            for name, weight in encoder.named_parameters():
                yield f"text_encoders.{number}.{name}", weight

    def bytes(self) -> int:
        """Memory that the weights take, in bytes."""
        return sum(t.nbytes for _, part in self.parts() for t in (*part.parameters(), *part.buffers()))


def alphas_cumprod(family: Family, zero_terminal_snr: bool = False) -> Tensor:
    """[train_steps] float32: the share of signal left at each training step.

    Computed in float64 and rounded once, as LDM does. With zero_terminal_snr the curve is shifted and scaled so
    that its square root ends at 0 and starts where it started (Lin et al. 2023, alg. 1); the last value is then
    4.9e-8 instead of 0, which keeps sigma finite (about 4519).
    """
    roots = torch.linspace(family.beta_start**0.5, family.beta_end**0.5, family.train_steps, dtype=torch.float64)
    cumulative = torch.cumprod(1 - roots**2, dim=0)
    if zero_terminal_snr:
        signal = cumulative.sqrt()
        signal = (signal - signal[-1]) * signal[0] / (signal[0] - signal[-1])
        cumulative = signal**2
        cumulative[-1] = 4.8973451890853435e-08
    return cumulative.float()


def fingerprint(*parts: object) -> str:
    """16 hexadecimal digits that name a combination of file identities, dtypes and the like."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
