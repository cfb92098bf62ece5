"""`models convert` and `models prune` write new files beside the old ones and say what they did."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
from safetensors.numpy import load_file, save_file

from app.files import read_header
from tests.cli.places import Places

GOLDEN = Path(__file__).parents[1] / "golden" / "pickles"
UNET = "model.diffusion_model.input_blocks.0.0.weight"
Typed = Callable[..., int]


@pytest.fixture
def place(places: Places) -> Path:
    folder = places.folders.checkpoints[0]
    (folder / "old.ckpt").write_bytes((GOLDEN / "lightning.ckpt").read_bytes())
    averaged = "model_ema.diffusion_modelinput_blocks00weight"
    save_file({UNET: numpy.ones((4, 4), "f4"), averaged: numpy.zeros((4, 4), "f4")}, folder / "big.safetensors")
    return folder


def diffusers_folder(folder: Path) -> None:
    (folder / "unet").mkdir(parents=True)
    (folder / "model_index.json").write_text('{"unet": ["diffusers", "x"]}')
    (folder / "unet" / "config.json").write_text('{"cross_attention_dim": 768, "in_channels": 4}')
    names = {"conv_in.weight": numpy.ones((4, 4, 3, 3), "f4"), "down_blocks.0.x": numpy.ones(1, "f4")}
    save_file(names, folder / "unet" / "diffusion_pytorch_model.safetensors")


def test_a_pickle_is_written_beside_itself_as_safetensors(
    easel: Typed, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert easel("models", "convert", "old") == 0
    new = place / "old.safetensors"
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Wrote {new}"
    assert any(line.startswith("  without what is no weight: ") and "callbacks" in line for line in lines)
    digest = hashlib.sha256(new.read_bytes()).hexdigest()
    assert lines[-2:] == [f"  sha256 {digest}", f"  AutoV2 {digest[:10]}"]
    assert (place / "old.ckpt").exists()
    assert easel("models", "info", "old.safetensors", "--json") == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["problem"], told["content"]) == (None, "SAFETENSORS")


def test_a_file_that_is_there_is_not_written_over_unasked(
    easel: Typed, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (place / "big.safetensors").read_bytes()
    assert easel("models", "convert", "big", "--dtype", "fp16") == 1
    assert "big.safetensors is there already. Name another file with --to" in capsys.readouterr().err
    assert (place / "big.safetensors").read_bytes() == before
    assert easel("models", "convert", "big", "--dtype", "fp16", "--overwrite") == 0
    assert read_header(place / "big.safetensors").tensors[UNET].dtype == "F16"


def test_pruning_leaves_out_averaged_weights_and_narrows(
    easel: Typed, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert easel("models", "prune", "big", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["tensors"], told["narrowed"], len(told["left_out"])) == (1, 1, 1)
    assert told["to"] == str(place / "big-pruned.safetensors")
    assert load_file(told["to"])[UNET].tolist() == [[1.0] * 4] * 4
    other = tmp_path / "new folder" / "averaged.safetensors"
    assert easel("models", "prune", "big", "--ema", "--dtype", "fp32", "--to", str(other)) == 0
    assert load_file(other)[UNET].tolist() == [[0.0] * 4] * 4


def test_a_dry_run_writes_nothing(easel: Typed, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(place.iterdir())
    assert easel("models", "prune", "big", "--dry-run") == 0
    assert capsys.readouterr().out.startswith(f"Would write {place / 'big-pruned.safetensors'}\n")
    assert sorted(place.iterdir()) == before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x80\x02cos\nsystem\n(X\x01\0\0\0xtR.", "it refers to os.system"),
        (b"<html>", "is a web page"),
        (b"", "is empty"),
    ],
)
def test_what_cannot_be_read_is_refused_in_words(
    easel: Typed, place: Path, capsys: pytest.CaptureFixture[str], content: bytes, words: str
) -> None:
    (place / "bad.ckpt").write_bytes(content)
    assert easel("models", "convert", "bad") == 1
    assert words in capsys.readouterr().err
    assert not (place / "bad.safetensors").exists()


def test_a_diffusers_folder_becomes_one_file_beside_it(
    easel: Typed, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    diffusers_folder(place / "model v1.5")
    assert easel("models", "convert", "model v1.5", "--dry-run") == 0
    new = place / "model v1.5.safetensors"
    assert capsys.readouterr().out == f"Would write {new}\n"
    assert easel("models", "convert", "model v1.5", "--dtype", "fp16") == 0
    digest = hashlib.sha256(new.read_bytes()).hexdigest()
    assert capsys.readouterr().out.splitlines()[-2:] == [f"  sha256 {digest}", f"  AutoV2 {digest[:10]}"]
    assert read_header(new).metadata == {"from": "model v1.5", "dtype": "F16"}


def test_a_broken_folder_a_pruned_one_and_another_ending_are_refused_in_words(
    easel: Typed, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "folder").mkdir()
    (place / "folder" / "model_index.json").write_text("{}")
    assert easel("models", "convert", "folder") == 1
    assert "it is no Stable Diffusion model, or incomplete" in capsys.readouterr().err
    assert easel("models", "prune", "folder") == 1
    assert "whose parts are files of their own" in capsys.readouterr().err
    assert easel("models", "convert", "old", "--to", str(place / "x.ckpt")) == 2
    assert capsys.readouterr().err == "--to must end in .safetensors.\n"
