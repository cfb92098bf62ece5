"""Optimisers take the steps that their papers' formulas give, and each goes on bit for bit from a snapshot."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from app.schema.errors import TrainingProblem
from app.training import OPTIMIZERS, Snapshots, make_optimizer
from app.training.loop import run
from app.training.optimizers import Lion, Prodigy
from tests.training.lessons import SETTINGS, STEPS, Bend, digest, newest

RATES = {"AdamW": 0.02, "Adafactor": 0.02, "Lion": 0.005, "Prodigy": 1.0}


def weight(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def pull(optimizer: torch.optim.Optimizer, tensor: Tensor, *gradient: float) -> None:
    tensor.grad = torch.tensor(gradient, dtype=torch.float64)
    optimizer.step()


def test_lion_steps_by_its_rate_in_the_direction_of_the_momentums_sign() -> None:
    x = weight(1.0, 2.0, -3.0)
    lion = Lion([x], lr=0.1, betas=(0.9, 0.99))
    pull(lion, x, 4.0, -0.001, 0.0)
    assert x.tolist() == pytest.approx([0.9, 2.1, -3.0])
    # The momentum is 0.04 now: 0.9 * 0.04 outweighs 0.1 * -0.3, but not 0.1 * -0.4.
    pull(lion, x, -0.3, 1.0, 5.0)
    assert x.tolist() == pytest.approx([0.8, 2.0, -3.1])
    assert lion.state[x]["momentum"].tolist() == pytest.approx([0.0366, 0.0099901, 0.05])
    pull(lion, x, -0.4, 0.0, 0.0)
    assert x.tolist() == pytest.approx([0.9, 1.9, -3.2])


def test_lion_decays_weights_apart_from_the_step() -> None:
    x = weight(1.0)
    pull(Lion([x], lr=0.1, weight_decay=0.5), x, 1.0)
    assert x.item() == pytest.approx(1.0 * (1 - 0.1 * 0.5) - 0.1)


def test_prodigys_first_step_is_its_first_step_size() -> None:
    # sqrt(0.001) / 0.1 of correction, times moment / root of square = 0.1 / sqrt(0.001): both cancel.
    x = weight(1.0)
    prodigy = Prodigy([x], lr=1.0)
    pull(prodigy, x, 2.0)
    assert x.item() == pytest.approx(1 - 1e-6, rel=1e-12)
    assert prodigy.estimate == {"d": 1e-6, "numerator": 0.0, "steps": 1}


def test_prodigys_second_step_written_out() -> None:
    x = weight(1.0)
    prodigy = Prodigy([x], lr=1.0)
    pull(prodigy, x, 2.0)
    pull(prodigy, x, 2.0)
    d, forget = 1e-6, math.sqrt(0.999)
    first = d * math.sqrt(1 - 0.999) / (1 - 0.9)
    second = d * math.sqrt(1 - 0.999**2) / (1 - 0.9**2)
    numerator = second * 2.0 * 1e-6  # the way from the first weight is 1e-6
    denominator = 2.0 * first * forget + 2.0 * second
    assert prodigy.estimate["numerator"] == pytest.approx(numerator, rel=1e-6)
    assert prodigy.estimate["d"] == d > numerator / denominator
    moment, square = d * 0.19 * 2.0, d * d * (0.001 * 0.999 + 0.001) * 4.0
    expected = 1 - 1e-6 - second * moment / (math.sqrt(square) + d * 1e-8)
    assert x.item() == pytest.approx(expected, rel=1e-14)


def test_prodigy_finds_the_size_of_its_steps() -> None:
    x = weight(3.0, -2.0)
    prodigy = Prodigy([x], lr=1.0)
    for _ in range(400):
        pull(prodigy, x, *(2 * x.detach()).tolist())
    assert 0.1 < prodigy.estimate["d"] < 10
    assert x.detach().abs().max().item() < 0.05


def test_prodigy_is_guarded_while_the_rate_rises() -> None:
    plain, guarded = (make_optimizer("Prodigy", {"x": weight(1.0)}, warms_up=rises) for rises in (False, True))
    sums = []
    for prodigy in (plain, guarded):
        assert isinstance(prodigy, Prodigy)
        (group,) = prodigy.param_groups
        assert group["betas"] == (0.9, 0.99)
        group["lr"] = 0.1
        pull(prodigy, x := group["params"][0], 2.0)
        sums.append(prodigy.state[x]["sum"].item())
    d, correction = 1e-6, math.sqrt(1 - 0.99) / (1 - 0.9)
    assert sums == [pytest.approx(2.0 * d * 0.1 * correction), pytest.approx(2.0 * d)]


def test_prodigy_moves_a_group_by_its_factor() -> None:
    slow, fast = weight(1.0), weight(1.0)
    prodigy = make_optimizer("Prodigy", {"slow": slow, "fast": fast}, factors={"slow": 0.25})
    for group in prodigy.param_groups:
        group["lr"] = group["factor"]
    slow.grad = torch.tensor([2.0], dtype=torch.float64)
    pull(prodigy, fast, 2.0)
    assert (1 - slow.item()) / (1 - fast.item()) == pytest.approx(0.25, rel=1e-6)


@pytest.mark.parametrize("name", sorted(RATES))
def test_each_optimiser_learns_and_goes_on_bit_for_bit(name: str, tmp_path: Path) -> None:
    settings = replace(SETTINGS, optimizer=name, rate=RATES[name], betas=None, accumulation=2)
    run(Bend(), replace(settings, every=1e9), Snapshots(tmp_path / "straight"))
    for step in (7, 8, 23, STEPS):
        run(Bend(), settings, Snapshots(tmp_path / "broken"), until=step)
    straight, broken = newest(tmp_path / "straight"), newest(tmp_path / "broken")
    assert digest(broken.tensors) == digest(straight.tensors)
    assert broken.facts == straight.facts
    before = {name: tensor.detach().clone() for name, tensor in Bend().parameters().items()}
    assert any(not torch.equal(before[name], straight.tensors[f"weights.{name}"]) for name in before)


def test_an_unknown_optimiser_is_refused_with_those_there_are() -> None:
    with pytest.raises(TrainingProblem, match=r"There is no optimiser 'SGD'\. Take AdamW, AdamW8bit"):
        make_optimizer("SGD", {"x": weight(1.0)})
    assert set(OPTIMIZERS) == {*RATES, "AdamW8bit"}


def test_eight_bit_adam_says_what_it_lacks() -> None:
    with pytest.raises(TrainingProblem, match=r"bitsandbytes.*not installed|NVIDIA cards only") as caught:
        make_optimizer("AdamW8bit", {"x": weight(1.0)})
    assert caught.value.field == "optimizer"
