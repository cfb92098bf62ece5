"""How much memory there is, as a container leaves it, and devices by the name that tensors give them."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
import torch

from app.models import choose_device, device, higher_precision, host_memory, memory_of

TOTAL = psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("limit", "expected"), [("1000000\n", 1_000_000), ("max\n", TOTAL), (str(TOTAL * 2), TOTAL), (None, TOTAL)]
)
def test_a_containers_limit_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str | None, expected: int
) -> None:
    file = tmp_path / "memory.max"
    if limit is not None:
        file.write_text(limit)
    monkeypatch.setattr(device, "_CONTAINER_LIMIT", file)
    assert host_memory() == memory_of(torch.device("cpu")) == expected


def test_a_chosen_device_is_equal_to_that_of_its_tensors() -> None:
    assert choose_device("cpu") == torch.zeros(1, device=choose_device("cpu")).device


def test_bfloat16_comes_before_float32_where_the_device_computes_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    card = torch.device("cuda", 0)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert higher_precision(torch.float16, card) == torch.bfloat16
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert higher_precision(torch.float16, card) == torch.float32
    assert higher_precision(torch.bfloat16, card) == torch.float32
    assert higher_precision(torch.float32, card) is None
