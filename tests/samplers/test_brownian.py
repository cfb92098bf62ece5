"""The Brownian path of an image is torchsde's, is fixed by its seed, and has the statistics of a Brownian path."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchsde

from app.samplers import ImageNoise, NoiseOptions
from app.samplers.brownian import BrownianTree
from tests.samplers.formula import GOLDEN

RECORDED = np.load(GOLDEN / "samplers_brownian.npz")
SIGMAS = torch.from_numpy(RECORDED["sigmas"])
SPAN = (float(SIGMAS[-2]), float(SIGMAS[0]))
STEPS = range(9)


def draw(seed: int, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seeds", [(1,), (12345,), (1, 2)])
def test_noise_between_steps_is_the_recorded_one(seeds: tuple[int, ...]) -> None:
    paths = [ImageNoise(seed, (4, 8, 8)).brownian(*SPAN) for seed in seeds]
    key = f"seeds_{'_'.join(str(seed) for seed in seeds)}"
    for step in STEPS:
        noise = torch.cat([path(float(SIGMAS[step]), float(SIGMAS[step + 1])) for path in paths])
        assert torch.equal(noise, torch.from_numpy(RECORDED[key][step]))


@pytest.mark.parametrize("seeds", [(1,), (12345,), (1, 2)])
def test_noise_to_the_middle_of_a_step_is_the_recorded_one(seeds: tuple[int, ...]) -> None:
    paths = [ImageNoise(seed, (4, 8, 8)).brownian(*SPAN) for seed in seeds]
    key = f"seeds_{'_'.join(str(seed) for seed in seeds)}_mid"
    for step in STEPS:
        sigma, sigma_next = SIGMAS[step], SIGMAS[step + 1]
        middle = float((sigma * sigma_next).sqrt())
        half = torch.cat([path(float(sigma), middle) for path in paths])
        whole = torch.cat([path(float(sigma), float(sigma_next)) for path in paths])
        assert torch.equal(torch.stack([half, whole]), torch.from_numpy(RECORDED[key][step]))


def test_any_increment_is_torchsdes() -> None:
    times = np.random.default_rng(1).uniform(0.03, 14.6, (40, 2))
    theirs = torchsde.BrownianTree(SPAN[0], torch.zeros(4, 3, 5), SPAN[1], entropy=99)
    ours = BrownianTree(99, (4, 3, 5), *SPAN, draw)
    for start, end in np.sort(times):
        assert torch.equal(ours.increment(start, end), theirs(start, end))


def test_the_path_does_not_depend_on_what_was_asked_before() -> None:
    busy, fresh = BrownianTree(7, (4, 2, 2), 0.0, 10.0, draw), BrownianTree(7, (4, 2, 2), 0.0, 10.0, draw)
    for start in range(9):
        busy.increment(start + 0.25, start + 0.5)
    assert torch.equal(busy.increment(1.5, 7.25), fresh.increment(1.5, 7.25))


def test_increments_add_up() -> None:
    tree = BrownianTree(7, (4, 8, 8), 0.0, 10.0, draw)
    assert torch.allclose(tree.increment(1, 3) + tree.increment(3, 9), tree.increment(1, 9), atol=1e-5)
    assert torch.equal(tree.increment(-5, 20), tree.increment(0, 10))
    assert not tree.increment(4, 4).any()


def test_increments_have_the_variance_of_their_length_and_apart_they_are_independent() -> None:
    tree = BrownianTree(3, (40000,), 0.0, 10.0, draw)
    first, second = tree.increment(1.0, 2.5), tree.increment(2.5, 7.0)
    assert float(first.var()) == pytest.approx(1.5, rel=0.03)
    assert float(second.var()) == pytest.approx(4.5, rel=0.03)
    assert float((first * second).mean()) == pytest.approx(0.0, abs=0.03)


def test_stepping_down_turns_the_sign_and_standing_still_gives_nothing() -> None:
    path = ImageNoise(1, (4, 8, 8)).brownian(*SPAN)
    assert torch.equal(path(10.0, 3.0), -path(3.0, 10.0))
    assert not path(3.0, 3.0).any()


def test_the_nv_source_has_a_path_of_its_own() -> None:
    cpu = ImageNoise(1, (4, 8, 8)).brownian(*SPAN)(10.0, 3.0)
    nv = ImageNoise(1, (4, 8, 8), NoiseOptions("NV")).brownian(*SPAN)(10.0, 3.0)
    assert not torch.equal(cpu, nv)
    assert float(nv.std()) == pytest.approx(1.0, abs=0.15)
