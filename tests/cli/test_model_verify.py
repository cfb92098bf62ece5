"""`models verify` says of each file whether it is sound, and its exit status says it of all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
from safetensors.numpy import save_file

from tests.cli.places import Places
from tests.files.making import SD1

Typed = Callable[..., int]


@pytest.fixture
def sound(places: Places) -> Path:
    path = places.folders.checkpoints[0] / "sound.safetensors"
    save_file({name: numpy.zeros(shape[:1] + (1,) * (len(shape) - 1), "f2") for name, shape in SD1.items()}, path)
    return path


def test_a_sound_file_is_told_with_its_hash(easel: Typed, sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert easel("models", "verify", "sound") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("sound  sound.safetensors  (a safetensors file; 5 tensors, ")
    assert lines[-2].endswith(f"sha256 {hashlib.sha256(sound.read_bytes()).hexdigest()}")
    assert lines[-1] == "1 files verified, none of them with something wrong."


def test_all_files_are_verified_without_a_name(easel: Typed, sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sound.with_name("half.safetensors").write_bytes(sound.read_bytes()[:-7])
    save_file({"x": numpy.array([numpy.nan])}, sound.with_name("none.safetensors"))
    assert easel("models", "verify", "--json") == 1
    found = {file["name"]: file for file in json.loads(capsys.readouterr().out)}
    assert {name: file["sound"] for name, file in found.items()} == {
        "half.safetensors": False,
        "none.safetensors": False,
        "sound.safetensors": True,
    }
    assert "in part" in found["half.safetensors"]["problems"][0]
    assert found["none.safetensors"]["unfinite"] == {"x": {"nan": 1, "infinite": 0}}
    assert "It is an embedding, not a checkpoint" in found["none.safetensors"]["problems"][1]


def test_the_hash_that_a_site_names_is_compared(easel: Typed, sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digest = hashlib.sha256(sound.read_bytes()).hexdigest()
    assert easel("models", "verify", str(sound), "--sha256", digest[:10]) == 0
    assert easel("models", "verify", str(sound), "--sha256", "f" * 10) == 1
    assert f"Its sha256 is {digest}, not the one that was asked for: ffffffffff." in capsys.readouterr().out
    assert easel("models", "verify", "--sha256", digest) == 2
    assert capsys.readouterr().err == "--sha256 goes with one NAME.\n"
