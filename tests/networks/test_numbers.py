"""Numbers of a network's file: alphas of every type, and matrices widened into memory that is used again."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from app.models.checkpoint_file import open_weights
from app.networks.numbers import Numbers, Scratch


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64])
def test_a_single_number_is_read_whatever_its_type(tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = {"odd": torch.zeros(3, dtype=torch.uint8), "alpha": torch.tensor(12, dtype=dtype), "two": torch.ones(2)}
    tensors["scale"] = torch.tensor([[math.nan]])
    save_file(tensors, tmp_path / "one.safetensors")
    numbers = Numbers(open_weights(tmp_path / "one.safetensors"))
    assert numbers.number("alpha") == 12
    assert numbers.number("two") is None
    assert numbers.number("scale") is None


def test_matrices_are_widened_side_by_side_into_memory_that_is_used_again() -> None:
    first, second = torch.randn(5, 7).half(), torch.randn(2, 3, 1, 1).bfloat16()
    scratch = Scratch()
    for _ in range(2):  # the first time it learns how much is wanted
        scratch.begin()
        wide, wider = scratch.float32(first), scratch.float32(second)
        assert torch.equal(wide, first.float())
        assert torch.equal(wider, second.float())
        assert (wide.dtype, wider.shape) == (torch.float32, second.shape)
    scratch.begin()
    assert scratch.float32(second).data_ptr() == wide.data_ptr()
    assert scratch.float32(first).data_ptr() != wide.data_ptr()


def test_what_is_float32_already_is_not_copied() -> None:
    matrix = torch.randn(5, 7)
    assert Scratch().float32(matrix) is matrix
