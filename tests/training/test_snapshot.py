"""A snapshot is whole or it is not there; what damages one leaves the one before."""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError

from app.schema.errors import CannotWrite, DiskFull
from app.training import Snapshot, Snapshots
from app.training import snapshot as module
from tests.training.lessons import digest

TENSORS = {
    "weights.a": torch.randn(3, 5, generator=torch.Generator().manual_seed(1)),
    "weights.a.b": torch.tensor([float("nan"), -0.0, 1e-45, float("inf")]),
    "half": torch.arange(7).to(torch.float16) / 3,
    "brain": torch.arange(7).to(torch.bfloat16) / 3,
    "step": torch.tensor(3.0),
    "count": torch.tensor(2**53 + 1),
    "mask": torch.tensor([True, False, True]),
    "nothing": torch.zeros(0, 4),
    "turned": torch.arange(12.0).reshape(3, 4).T,
}


def numbered(step: int) -> Snapshot:
    return Snapshot(step, {"weights.a": torch.full((64,), float(step))}, {"step twice": 2 * step})


def saved(folder: Path, *steps: int, keep: int = 2) -> Snapshots:
    snapshots = Snapshots(folder, keep)
    for step in steps:
        snapshots.save(numbered(step))
    return snapshots


def step_of(snapshots: Snapshots) -> int | None:
    newest = snapshots.newest()
    return newest.step if newest else None


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_saved_comes_back_bit_for_bit(tmp_path: Path) -> None:
    facts = {"seed": 2**60 + 1, "rate": 0.1, "names": ["a", "ä"], "none": None}
    Snapshots(tmp_path).save(Snapshot(123, TENSORS, facts))
    newest = Snapshots(tmp_path).newest()
    assert newest is not None
    assert (newest.step, newest.facts) == (123, facts)
    assert digest(newest.tensors) == digest(TENSORS)


def test_an_empty_folder_has_no_newest(tmp_path: Path) -> None:
    assert Snapshots(tmp_path / "new" / "run").newest() is None


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    saved(tmp_path, 9, 10, 100, 2000)
    assert names(tmp_path) == ["step-00000100", "step-00002000"]
    saved(tmp_path, 2001, keep=1)
    assert names(tmp_path) == ["step-00002001"]


def test_a_step_saved_again_replaces_itself(tmp_path: Path) -> None:
    saved(tmp_path, 1, 2)
    Snapshots(tmp_path).save(Snapshot(2, {"weights.a": torch.zeros(1)}, {}))
    newest = Snapshots(tmp_path).newest()
    assert newest is not None
    assert newest.tensors["weights.a"].tolist() == [0]
    assert names(tmp_path) == ["step-00000001", "step-00000002"]


def flip_a_bit(folder: Path) -> None:
    file = folder / module.TENSORS
    data = bytearray(file.read_bytes())
    data[-5] ^= 1
    file.write_bytes(data)


def cut_the_tensors(folder: Path) -> None:
    file = folder / module.TENSORS
    file.write_bytes(file.read_bytes()[:-100])


def manifest(text: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / module.MANIFEST).write_text(text)

    return damage


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a bit flipped": flip_a_bit,
    "tensors cut short": cut_the_tensors,
    "tensors gone": lambda folder: (folder / module.TENSORS).unlink(),
    "manifest gone": lambda folder: (folder / module.MANIFEST).unlink(),
    "manifest cut short": manifest('{"step": 2, "fac'),
    "manifest empty": manifest(""),
    "manifest of zeros": manifest("\0" * 40),
    "manifest of nothing": manifest("null"),
    "manifest of another shape": manifest('{"files": 5}'),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_newest_is_passed_over_for_the_one_before(
    damage: Callable[[Path], object], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    snapshots = saved(tmp_path, 1, 2)
    damage(tmp_path / "step-00000002")
    with caplog.at_level(logging.WARNING):
        assert step_of(snapshots) == 1
    assert "step-00000002 is damaged" in caplog.text


def test_when_all_are_damaged_there_is_none(tmp_path: Path) -> None:
    snapshots = saved(tmp_path, 1, 2)
    for folder in tmp_path.iterdir():
        flip_a_bit(folder)
    assert snapshots.newest() is None


def test_what_a_killed_process_left_half_written_is_passed_over_and_cleared_away(tmp_path: Path) -> None:
    snapshots = saved(tmp_path, 1)
    left = tmp_path / "step-00000002.tmp"
    left.mkdir()
    (left / module.TENSORS).write_bytes(b"half")
    assert step_of(snapshots) == 1
    snapshots.save(numbered(3))
    assert names(tmp_path) == ["step-00000001", "step-00000003"]


def test_the_manifest_is_written_last_and_the_name_given_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[tuple[str, list[str]]] = []
    flush = module._flush

    def recorded(path: Path) -> None:
        flush(path)
        inside = sorted(file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*") if file.is_file())
        flushed.append((path.relative_to(tmp_path).as_posix(), inside))

    monkeypatch.setattr(module, "_flush", recorded)
    saved(tmp_path, 5)
    aside, final = "step-00000005.tmp", "step-00000005"
    both = [module.MANIFEST, module.TENSORS]
    assert flushed == [
        (f"{aside}/{module.TENSORS}", [f"{aside}/{module.TENSORS}"]),
        (f"{aside}/{module.MANIFEST}", [f"{aside}/{name}" for name in both]),
        (aside, [f"{aside}/{name}" for name in both]),
        (".", [f"{final}/{name}" for name in both]),
    ]
    written = json.loads((tmp_path / final / module.MANIFEST).read_text())
    assert (written["step"], list(written["files"])) == (5, [module.TENSORS])


@pytest.mark.parametrize(("flushes", "step"), [(0, 2), (1, 2), (2, 2), (3, 3)])
def test_a_death_at_any_point_of_saving_leaves_a_whole_snapshot(
    flushes: int, step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path, 1, 2)
    left = [flushes]

    class Death(BaseException):
        pass

    def deadly(path: Path) -> None:
        if not left[0]:
            raise Death
        left[0] -= 1

    monkeypatch.setattr(module, "_flush", deadly)
    with pytest.raises(Death):
        saved(tmp_path, 3)
    assert step_of(Snapshots(tmp_path)) == step


def full_disk_in_safetensors(*_: Any) -> None:
    # What safetensors 0.8 says on a full disk: not an OSError, the number in words alone.
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


def full_disk_in_python(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("place", "name", "failure"),
    [
        (module, "save_file", full_disk_in_safetensors),
        (Path, "write_text", full_disk_in_python),
        (module, "_flush", full_disk_in_python),
        (Path, "mkdir", full_disk_in_python),
    ],
    ids=["tensors", "manifest", "flush", "folder"],
)
def test_a_full_disk_is_said_and_the_older_ones_stay(
    place: Any, name: str, failure: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots = saved(tmp_path, 1, 2)
    with monkeypatch.context() as patched:
        patched.setattr(place, name, failure)
        with pytest.raises(DiskFull, match=r"step-00000003 cannot be written.*Free some space"):
            snapshots.save(numbered(3))
    assert names(tmp_path) == ["step-00000001", "step-00000002"]
    assert step_of(snapshots) == 2
    snapshots.save(numbered(3))
    assert step_of(snapshots) == 3


def test_what_safetensors_cannot_write_for_another_reason_is_said_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TENSORS", "no such folder/tensors.safetensors")
    with pytest.raises(CannotWrite, match="cannot be written") as raised:
        Snapshots(tmp_path).save(numbered(1))
    assert not isinstance(raised.value, DiskFull)
    assert names(tmp_path) == []
