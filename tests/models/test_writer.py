"""Files are written whole or not at all, aside first, with values that fit their type."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from app.models import Entry, write_tensors
from app.schema.errors import CannotWrite, DiskFull


def entries(**tensors: torch.Tensor) -> dict[str, Entry]:
    return {name: Entry(t.dtype, tuple(t.shape), lambda t=t: t) for name, t in tensors.items()}


def test_tensors_of_every_type_come_back_as_they_went(tmp_path: Path) -> None:
    tensors = {
        "half": torch.randn(3, 5).half(),
        "brain": torch.randn(7).bfloat16(),
        "full": torch.randn(2, 2, 2),
        "eight": torch.randn(9).to(torch.float8_e4m3fn),
        "whole": torch.arange(5),
        "bool": torch.tensor([True, False, True]),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0),
        "turned": torch.randn(4, 6).t(),
    }
    path = write_tensors(tmp_path / "Größe 大.safetensors", entries(**tensors), {"title": "ein 大 title"})
    read = load_file(path)
    assert read.keys() == tensors.keys()
    assert all(read[n].dtype == t.dtype and torch.equal(read[n].float(), t.float()) for n, t in tensors.items())
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"title": "ein 大 title"}


def test_every_tensor_begins_at_a_multiple_of_its_size(tmp_path: Path) -> None:
    path = write_tensors(tmp_path / "a", entries(a=torch.zeros(1).half(), b=torch.zeros(3), c=torch.arange(1)), {})
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    assert length % 8 == 0
    assert {name: header[name]["data_offsets"][0] for name in header} == {"c": 0, "b": 8, "a": 20}


def test_a_tensor_is_made_only_when_its_turn_comes(tmp_path: Path) -> None:
    alive: list[str] = []

    def make(name: str) -> torch.Tensor:
        alive.append(name)
        return torch.zeros(4)

    made = {name: Entry(torch.float32, (4,), lambda name=name: make(name)) for name in "ab"}
    write_tensors(tmp_path / "a.safetensors", made, {})
    assert alive == ["a", "b"]


def test_when_writing_fails_the_old_file_stays_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = write_tensors(tmp_path / "a.safetensors", entries(x=torch.ones(2)), {})
    before = path.read_bytes()

    def full() -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(DiskFull, match="no room left"):
        write_tensors(path, {"x": Entry(torch.float32, (2,), full)}, {})
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["a.safetensors"]


def test_room_is_asked_for_before_the_first_byte(tmp_path: Path) -> None:
    huge = {"x": Entry(torch.float32, (2**50,), lambda: torch.zeros(0))}
    with pytest.raises(DiskFull, match=r"a\.safetensors needs 4503599.63 GB"):
        write_tensors(tmp_path / "a.safetensors", huge, {})


def test_values_that_half_precision_cannot_hold_are_refused_by_name(tmp_path: Path) -> None:
    made = {"unet.big": Entry(torch.float16, (2,), lambda: torch.tensor([1.0, 70_000.0]))}
    with pytest.raises(CannotWrite, match=r"tensor unet\.big has values up to 7e\+04.*bf16 or fp32"):
        write_tensors(tmp_path / "a.safetensors", made, {})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CannotWrite, match="nowhere"):
        write_tensors(tmp_path / "nowhere" / "a.safetensors", entries(x=torch.ones(2)), {})
