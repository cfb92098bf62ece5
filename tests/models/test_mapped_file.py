"""MappedFile: tensors of every kind, at even and at odd places, share a file's pages and never change the file."""

from __future__ import annotations

from pathlib import Path

import numpy
import pytest
import torch
from safetensors.torch import load_file, save_file

from app.models.mapped_file import MappedFile
from app.models.weights import WeightFile
from app.schema.errors import BrokenModelFile


def numbers(path: Path) -> Path:
    path.write_bytes(b"head" + numpy.arange(10_000, dtype=numpy.float32).tobytes())
    return path


def test_a_tensor_is_what_lies_at_its_place(tmp_path: Path) -> None:
    path = numbers(tmp_path / "数字 🎨.bin")
    file = MappedFile(path, 4, path.stat().st_size)
    assert file.tensor(0, torch.float32, (10_000,)).tolist() == list(range(10_000))
    assert file.tensor(4 * 2500, torch.float32, (2, 3)).tolist() == [[2500, 2501, 2502], [2503, 2504, 2505]]
    assert file.tensor(4 * 7, torch.float32, ()).item() == 7
    assert file.tensor(4 * 10_000, torch.float32, (0, 5)).shape == (0, 5)


def test_an_odd_place_is_read_as_well(tmp_path: Path) -> None:
    path = tmp_path / "odd.bin"
    path.write_bytes(b"x" + numpy.float32([1.5, -2.0]).tobytes())
    assert MappedFile(path, 0, 9).tensor(1, torch.float32, (2,)).tolist() == [1.5, -2.0]


def test_two_tensors_of_one_place_share_memory_and_the_file_stays_as_it_is(tmp_path: Path) -> None:
    path = numbers(tmp_path / "file.bin")
    before = path.read_bytes()
    file = MappedFile(path, 4, len(before))
    one, other = file.tensor(0, torch.float32, (5,)), file.tensor(0, torch.float32, (5,))
    del file
    one.fill_(-1)
    assert other.tolist() == [-1] * 5
    assert path.read_bytes() == before


def test_a_system_that_cannot_read_ahead_reads_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.models.mapped_file._in_memory", lambda *_: False)
    monkeypatch.setattr("app.models.mapped_file._POPULATE_READ", 12345)
    path = numbers(tmp_path / "file.bin")
    file = MappedFile(path, 4, path.stat().st_size)
    assert [file.tensor(4 * n, torch.float32, (1,)).item() for n in (1, 9_999)] == [1, 9_999]


def test_every_type_comes_out_as_safetensors_own_reader_gives_it(tmp_path: Path) -> None:
    kinds = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.int64, torch.bool)
    path = tmp_path / "kinds.safetensors"
    save_file({str(kind): torch.tensor([[1, 0, 1]]).to(kind) for kind in kinds}, path)
    file, theirs = WeightFile(path), load_file(path)
    assert file.shapes.keys() == theirs.keys()
    for name, tensor in theirs.items():
        ours = file.tensor(name)
        assert (ours.dtype, ours.shape) == (tensor.dtype, tensor.shape)
        assert torch.equal(ours.float(), tensor.float())


def test_a_closed_file_is_opened_again_and_one_that_was_cut_short_since_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    save_file({"a": torch.arange(1000.0)}, path)
    file = WeightFile(path)
    first = file.tensor("a")
    file.close()
    assert torch.equal(file.tensor("a"), first)
    file.close()
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(BrokenModelFile, match=r"file\.safetensors was changed while it was read"):
        file.tensor("a")


def test_a_file_that_is_in_memory_is_not_read_ahead_and_one_that_is_not_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def say(file: int, buffers: list[bytearray], place: int, flags: int) -> int:
        read.append(place)
        if len(read) > 3:
            raise BlockingIOError
        return 1

    path = numbers(tmp_path / "file.bin")
    size = path.stat().st_size
    assert not MappedFile(path, 4, size)._reads_ahead  # just written
    monkeypatch.setattr("os.preadv", say)
    file = MappedFile(path, 4, size)
    assert file._reads_ahead
    assert read == [0, 157, 314, 471]
    assert file.tensor(0, torch.float32, (10_000,)).tolist() == list(range(10_000))
