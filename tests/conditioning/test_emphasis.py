"""How weights act on an encoder's output."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from app.conditioning import emphasised

HIDDEN = torch.linspace(-1, 2, 2 * 3 * 4).view(2, 3, 4)
WEIGHTS = torch.tensor([[1.0, 2.0, 1.0], [1.0, 0.5, 1.0]])
ONCE = torch.ones(2)


def weighed() -> Tensor:
    return HIDDEN * WEIGHTS.unsqueeze(-1)


def test_no_norm_multiplies_each_vector_by_its_weight() -> None:
    assert torch.equal(emphasised(HIDDEN, WEIGHTS, "No norm", ONCE), weighed())


def test_original_keeps_the_mean_over_all_texts_together() -> None:
    result = emphasised(HIDDEN, WEIGHTS, "Original", ONCE)
    assert torch.allclose(result, weighed() * (HIDDEN.mean() / weighed().mean()))
    assert result.mean().item() == pytest.approx(HIDDEN.mean().item())
    assert result[0].mean().item() != pytest.approx(HIDDEN[0].mean().item())


def test_a_text_that_occurs_more_often_counts_more_often() -> None:
    twice = emphasised(HIDDEN, WEIGHTS, "Original", torch.tensor([3.0, 1.0]))
    written_out = emphasised(HIDDEN[[0, 0, 0, 1]], WEIGHTS[[0, 0, 0, 1]], "Original", torch.ones(4))
    assert torch.allclose(twice, written_out[[0, 3]])


@pytest.mark.parametrize("mode", ["Ignore", "None"])
def test_ignoring_leaves_everything_alone(mode: str) -> None:
    assert torch.equal(emphasised(HIDDEN, WEIGHTS, mode, ONCE), HIDDEN)


@pytest.mark.parametrize("mode", ["Original", "No norm"])
def test_weights_of_one_change_no_bit(mode: str) -> None:
    assert torch.equal(emphasised(HIDDEN, torch.ones(2, 3), mode, ONCE), HIDDEN)
