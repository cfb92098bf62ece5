"""Previews: a latent becomes a small picture by a linear map, fast enough to run beside the sampling."""

from __future__ import annotations

import time

import numpy as np
import torch

from app.models import SD1, SDXL, fit_preview, thumbnail

ROWS = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.5), (0.0, 0.0, 0.0), (0.0, 0.0, -1.0))


def test_each_cell_becomes_one_pixel() -> None:
    latent = torch.tensor([[1.0, 0.0], [-1.0, 5.0]]).expand(1, 4, 2, 2)
    picture = np.asarray(thumbnail(latent, ROWS))
    assert picture.tolist() == [[[255, 255, 64], [128, 128, 0]], [[0, 0, 0], [255, 255, 255]]]


def test_width_and_height_are_the_latents_and_nan_is_grey() -> None:
    latent = torch.full((4, 2, 5), float("nan"))
    picture = thumbnail(latent, SD1.preview)
    assert picture.size == (5, 2)
    assert picture.getpixel((0, 0)) == (128, 128, 128)


def test_the_published_maps_make_grey_and_warm_grey_of_an_empty_latent() -> None:
    assert thumbnail(torch.zeros(1, 4, 1, 1), SD1.preview).getpixel((0, 0)) == (128, 128, 128)
    assert thumbnail(torch.zeros(1, 4, 1, 1), SDXL.preview).getpixel((0, 0)) == (150, 140, 130)


def test_a_fitted_map_finds_the_one_that_made_the_pictures() -> None:
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(3, 4, 8, 8, generator=generator)
    table = torch.randn(5, 3, generator=generator)
    pictures = torch.einsum("nchw,cr->nrhw", latents, table[:4]) + table[4][:, None, None]
    rows = fit_preview(latents, pictures.repeat_interleave(8, -1).repeat_interleave(8, -2))
    assert torch.allclose(torch.tensor(rows), table, atol=1e-5)


def test_it_takes_less_than_two_milliseconds() -> None:
    latent, times = torch.randn(1, 4, 64, 64), []
    for _ in range(20):
        start = time.process_time()
        thumbnail(latent, SD1.preview)
        times.append(time.process_time() - start)
    assert min(times) < 0.002
