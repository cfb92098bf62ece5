"""The VAE learns from crops and then whole pictures; evened out it draws the same and speaks SD's latents."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from app.starter.autoencoder import (
    SCALING_FACTOR,
    AutoencoderLesson,
    DecoderLesson,
    _crops,
    build_autoencoder,
    even_out,
    picture,
    psnr,
    take_up,
)
from tests.starter.tiny import shrink


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    shrink(monkeypatch)
    torch.manual_seed(4)
    return build_autoencoder()


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    return torch.stack([picture(7, number) for number in range(6)])


def cells(module: Any, pictures: Tensor) -> Tensor:
    """[n, 4] float64: the latents as the U-Net gets them."""
    with torch.no_grad():
        mean = module.encode(pictures.float() / 127.5 - 1, return_dict=False)[0].mean
    return (mean * module.config.scaling_factor).permute(0, 2, 3, 1).reshape(-1, 4).double()


@torch.no_grad()
def drawn(module: Any, pictures: Tensor) -> Tensor:
    mean = module.encode(pictures.float() / 127.5 - 1, return_dict=False)[0].mean
    return module.decode(mean, return_dict=False)[0]


def turn_channels_apart(module: Any) -> None:
    """Mixed and uneven channels far from zero, so that there is something to even out."""
    with torch.no_grad():
        mixing = torch.tensor([[3.0, 1, 0, 0], [0, 2, 1, 0], [0, 0, 1, 0.5], [1, 0, 0, 1]])
        module.quant_conv.weight[:4, :, 0, 0] = mixing @ module.quant_conv.weight[:4, :, 0, 0] * 4
        module.quant_conv.bias[:4] = torch.tensor([5.0, -3, 0, 1])


def test_a_training_picture_follows_from_seed_and_number() -> None:
    assert torch.equal(picture(7, 3), picture(7, 3))
    assert not torch.equal(picture(7, 3), picture(7, 4))
    assert not torch.equal(picture(7, 3), picture(8, 3))
    assert (picture(7, 3).shape, picture(7, 3).dtype) == ((3, 128, 128), torch.uint8)


def test_it_has_sds_factor_eight_and_four_channels(module: Any, pictures: Tensor) -> None:
    assert module.encode(pictures[:1].float(), return_dict=False)[0].mean.shape == (1, 4, 16, 16)
    assert module.config.scaling_factor == SCALING_FACTOR == 0.18215


def test_evened_out_channels_have_mean_0_variance_1_and_nothing_in_common(module: Any, pictures: Tensor) -> None:
    turn_channels_apart(module)
    before = cells(module, pictures)
    eigenvalues = even_out(module, pictures)
    after = cells(module, pictures)
    assert torch.cov(before.T).diagonal().max() / torch.cov(before.T).diagonal().min() > 3
    assert min(eigenvalues) > 0.01 * max(eigenvalues)
    torch.testing.assert_close(torch.cov(after.T), torch.eye(4, dtype=torch.float64), rtol=0, atol=2e-4)
    torch.testing.assert_close(after.mean(0), torch.zeros(4, dtype=torch.float64), rtol=0, atol=2e-4)


def test_evening_out_leaves_every_reconstruction_as_it_was(module: Any, pictures: Tensor) -> None:
    turn_channels_apart(module)
    before, quality = drawn(module, pictures), psnr(module, pictures)
    even_out(module, pictures)
    torch.testing.assert_close(drawn(module, pictures), before, rtol=0, atol=1e-4)
    assert psnr(module, pictures) == pytest.approx(quality, abs=1e-3)


def test_a_channel_that_carries_nothing_is_not_blown_up(module: Any, pictures: Tensor) -> None:
    turn_channels_apart(module)
    with torch.no_grad():
        module.quant_conv.weight[3] = module.quant_conv.weight[2]  # the same twice: one direction is empty
        module.quant_conv.bias[3] = module.quant_conv.bias[2]
    before = drawn(module, pictures)
    even_out(module, pictures)
    variances = torch.linalg.eigvalsh(torch.cov(cells(module, pictures).T))
    assert variances[0] < 1e-3
    torch.testing.assert_close(variances[1:], torch.ones(3, dtype=torch.float64), rtol=0, atol=2e-4)
    torch.testing.assert_close(drawn(module, pictures), before, rtol=0, atol=1e-4)


def test_the_posterior_becomes_nearly_certain(module: Any, pictures: Tensor) -> None:
    even_out(module, pictures)
    moments = module.encode(pictures.float() / 127.5 - 1, return_dict=False)[0]
    assert moments.logvar.unique().tolist() == [-12.0]


def test_psnr_is_the_decibels_of_the_mean_square_error(pictures: Tensor) -> None:
    class Grey:
        """Draws middle grey, whatever it is given."""

        def encode(self, x: Tensor, return_dict: bool) -> Any:
            class Moments:
                mean = x

            return (Moments,)

        def decode(self, z: Tensor, return_dict: bool) -> Any:
            return (torch.zeros_like(z),)

    error = (pictures.double() / 255 - 0.5).pow(2).mean()
    assert psnr(Grey(), pictures) == pytest.approx(float(-10 * error.log10()), abs=1e-4)


def test_crops_come_first_and_whole_pictures_over_the_last_quarter(module: Any) -> None:
    shapes: list[tuple[int, ...]] = []
    lesson = AutoencoderLesson(module, seed=5, steps=8, batch=8)
    module.encoder.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape)))
    for step in (0, 5, 6, 7):
        lesson.loss(step)
    assert shapes == [(8, 3, 64, 64)] * 2 + [(2, 3, 128, 128)] * 2


def test_the_loss_of_a_step_follows_from_its_number(module: Any) -> None:
    lesson = AutoencoderLesson(module, seed=5, steps=8, batch=4)
    first = [lesson.loss(step).item() for step in (2, 3)]
    torch.rand(9)
    assert [lesson.loss(step).item() for step in (2, 3)] == first
    assert first[0] != first[1]


def test_crops_keep_to_the_grid_of_the_latent() -> None:
    numbered = torch.arange(128 * 128).reshape(1, 1, 128, 128).expand(40, 3, 128, 128)
    corners = {divmod(int(crop[0, 0, 0]), 128) for crop in _crops(numbered, torch.Generator().manual_seed(1))}
    assert len(corners) > 20
    assert {top % 8 + left % 8 for top, left in corners} == {0}


def test_every_weight_learns(module: Any) -> None:
    lesson = AutoencoderLesson(module, seed=5, steps=8, batch=4)
    lesson.loss(0).backward()
    still = [name for name, weight in lesson.parameters().items() if weight.grad is None or not weight.grad.any()]
    assert still == []


def test_a_finished_vae_taken_up_draws_as_before_from_latents_of_deviation_1(module: Any, pictures: Tensor) -> None:
    even_out(module, pictures)
    again = build_autoencoder()
    take_up(again, module)
    torch.testing.assert_close(drawn(again, pictures), drawn(module, pictures), rtol=0, atol=1e-4)
    moments = again.encode(pictures.float() / 127.5 - 1, return_dict=False)[0]
    assert moments.mean.std().item() == pytest.approx(1, abs=0.01)
    assert -7 < moments.logvar.mean().item() < -5


def test_evening_out_what_is_even_leaves_each_channel_its_place(module: Any, pictures: Tensor) -> None:
    even_out(module, pictures)
    before = cells(module, pictures)
    even_out(module, pictures)
    torch.testing.assert_close(cells(module, pictures), before, rtol=0, atol=1e-3)


def test_the_decoder_learns_alone_and_from_noised_latents(module: Any, pictures: Tensor) -> None:
    even_out(module, pictures)
    latents = cells(module, pictures).reshape(6, 16, 16, 4).permute(0, 3, 1, 2).half()
    lesson = DecoderLesson(module, latents, seed=7, batch=2)
    lesson.loss(0).backward()
    learning = {name for name, weight in module.named_parameters() if weight.grad is not None}
    assert learning == set(lesson.parameters())
    assert not any(name.startswith(("encoder", "quant_conv")) for name in learning)
    assert lesson.loss(1).item() == lesson.loss(1).item() != lesson.loss(2).item()
