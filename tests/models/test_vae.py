"""The VAE scales, samples, and goes to float32 when half precision fails."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from app.models import Vae
from app.schema.errors import NotFiniteResult


class FormulaVae(nn.Module):
    """Pixels are the latent's first three channels enlarged. overflows: the dtypes in which decoding gives infinity."""

    def __init__(self, overflows: tuple[torch.dtype, ...] = ()) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.overflows = overflows

    def decode(self, latent: Tensor, return_dict: bool) -> tuple[Tensor]:
        assert latent.dtype == self.weight.dtype
        pixels = latent[:, :3].repeat_interleave(8, -1).repeat_interleave(8, -2)
        return (pixels * float("inf") if latent.dtype in self.overflows else pixels,)

    def encode(self, image: Tensor, return_dict: bool) -> tuple[SimpleNamespace]:
        mean = torch.nn.functional.avg_pool2d(image, 8)[:, [0, 1, 2, 0]]
        return (SimpleNamespace(parameters=torch.cat([mean, torch.full_like(mean, 2 * 0.5)], dim=1)),)


def test_decoding_divides_by_the_scaling_factor_and_encoding_multiplies() -> None:
    vae = Vae(FormulaVae(), scaling_factor=0.5)
    latent = torch.full((1, 4, 2, 2), 0.25)
    assert torch.equal(vae.decode(latent), torch.full((1, 3, 16, 16), 0.5))
    assert torch.equal(vae.encode(torch.full((1, 3, 16, 24), 0.5)), torch.full((1, 4, 2, 3), 0.25))


def test_with_noise_the_latent_is_a_sample_of_the_posterior() -> None:
    vae = Vae(FormulaVae(), scaling_factor=0.5)
    image, noise = torch.zeros(1, 3, 16, 16), torch.randn(1, 4, 2, 2)
    assert torch.allclose(vae.encode(image, noise), 0.5 * torch.e**0.5 * noise)


def test_after_a_nan_in_half_precision_it_stays_in_float32_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    vae = Vae(FormulaVae(overflows=(torch.float16,)).half(), scaling_factor=1.0, name="of a.safetensors")
    with caplog.at_level(logging.WARNING):
        pixels = vae.decode(torch.ones(1, 4, 2, 2))
        vae.decode(torch.ones(1, 4, 2, 2))
    assert torch.equal(pixels, torch.ones(1, 3, 16, 16))
    assert vae.dtype == torch.float32
    assert [record.message for record in caplog.records] == [
        "The VAE of a.safetensors gave NaN while decoding in float16; from now on it runs in float32."
    ]


def test_nan_in_float32_is_an_error_and_never_a_black_picture() -> None:
    vae = Vae(FormulaVae(overflows=(torch.float32,)), scaling_factor=1.0, name="of a.safetensors")
    with pytest.raises(NotFiniteResult, match=r"The VAE of a\.safetensors gave no valid numbers while decoding"):
        vae.decode(torch.ones(1, 4, 2, 2))
