"""A VAE in strips gives the numbers of the whole picture at once, norms and attention included, in less memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from app.models import Precision, Vae, load_checkpoint
from app.models.attention import seamless
from tests.models.checkpoints import write_tiny_checkpoint

HALF = 1 / 255
"""Half a level of a picture in -1..1."""
STRIP = 1 << 16


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Vae:
    """Of random weights, with norms of 32 groups and attention in the middle, as SD's."""
    path = write_tiny_checkpoint(tmp_path_factory.mktemp("vae") / "tiny.safetensors", vae_channels=(32, 32, 64, 64))
    precise = Precision(torch.float32, torch.float32, torch.float32)
    return load_checkpoint(path, device=torch.device("cpu"), precision=precise).vae


@pytest.fixture
def vae(tiny: Vae) -> Iterator[Vae]:
    with torch.inference_mode():
        yield tiny


def random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


def picture(height: int, width: int) -> Tensor:
    return random(1, 3, height, width).clamp(-1, 1)


@pytest.mark.parametrize("strip", [1, STRIP, 1 << 30])
def test_decoded_in_strips_of_any_height_a_picture_is_that_of_the_whole(vae: Vae, strip: int) -> None:
    latent = random(2, 4, 13, 22)
    latent[..., :6, :] *= 3  # what is above differs from what is below, so that norms of parts would differ
    whole = vae.decode(latent)
    assert float((vae.decode(latent, strip=strip) - whole).abs().max()) < HALF / 20
    parts = torch.cat([vae.decode(part) for part in latent.split(7, dim=2)], dim=2)
    assert float((parts - whole).abs().mean()) > 4 * HALF  # or this proves nothing


@pytest.mark.parametrize("strip", [1, STRIP, 1 << 30])
def test_encoded_in_strips_of_any_height_a_latent_is_that_of_the_whole(vae: Vae, strip: int) -> None:
    pixels = picture(104, 176)
    whole = vae.encode(pixels)
    assert torch.allclose(vae.encode(pixels, strip=strip), whole, atol=1e-5)
    parts = torch.cat([vae.encode(part) for part in pixels.split(56, dim=2)], dim=2)
    assert not torch.allclose(parts, whole, atol=1e-3)


def test_with_noise_it_is_the_same_sample(vae: Vae) -> None:
    pixels, noise = picture(64, 72), random(1, 4, 8, 9)
    assert torch.allclose(vae.encode(pixels, noise, strip=STRIP), vae.encode(pixels, noise), atol=1e-5)


def test_a_picture_that_wraps_around_wraps_in_strips(vae: Vae) -> None:
    latent, pixels = random(1, 4, 13, 10), picture(104, 80)
    plain = vae.decode(latent)
    undo = seamless([vae.module])
    try:
        whole, code = vae.decode(latent), vae.encode(pixels)
        assert float((vae.decode(latent, strip=STRIP) - whole).abs().max()) < HALF / 20
        assert torch.allclose(vae.encode(pixels, strip=STRIP), code, atol=1e-5)
    finally:
        undo()
    assert float((whole - plain).abs().max()) > 4 * HALF


class Largest(TorchDispatchMode):
    """Keeps in mind how many numbers the largest tensor has that anything makes."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        answer = func(*args, **(kwargs or {}))
        fresh = (
            isinstance(answer, Tensor) and not answer._is_view() and func is not torch.ops.aten.empty.memory_format
        )  # a map
        self.numbers = max(self.numbers, answer.numel() if fresh else 0)
        return answer


def largest_of(act: Callable[[], object]) -> int:
    with torch.no_grad(), Largest() as largest:
        act()
    return largest.numbers


def test_nothing_is_computed_in_larger_pieces_than_a_few_strips(tiny: Vae) -> None:
    # A strip has three rows more on either side than the eight that it answers for, and a column on either.
    latent, pixels = random(1, 4, 64, 8), picture(512, 64)
    assert largest_of(lambda: tiny.decode(latent)) == 32 * 512 * 64
    assert largest_of(lambda: tiny.decode(latent, strip=STRIP)) < 3 * STRIP
    assert largest_of(lambda: tiny.encode(pixels)) == 32 * 513 * 65
    assert largest_of(lambda: tiny.encode(pixels, strip=STRIP)) < 3 * STRIP


def test_in_half_precision_it_differs_by_rounding_alone(tmp_path: Path) -> None:
    path = write_tiny_checkpoint(tmp_path / "tiny.safetensors")
    half = Precision(torch.bfloat16, torch.bfloat16, torch.bfloat16)
    vae = load_checkpoint(path, device=torch.device("cpu"), precision=half).vae
    latent = random(1, 4, 13, 10)
    with torch.inference_mode():
        exact = vae.decode(latent)
        difference = (vae.decode(latent, strip=STRIP) - exact).abs()
        vae.module.float()
        rounding = (vae.decode(latent) - exact).abs()
    assert float(difference.mean()) < float(rounding.mean())
