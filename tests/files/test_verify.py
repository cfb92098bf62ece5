"""A model file is read to its last byte, and all that is wrong with it is said."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import numpy
import pytest
from safetensors.numpy import save_file

from app.files.number_formats import Unfinite
from app.files.verify import verify
from tests.files.making import embedding, picture

GOLDEN = Path(__file__).parents[1] / "golden" / "pickles"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "a.safetensors"
    save_file({"x": numpy.ones((3, 3), numpy.float16), "n": numpy.arange(3)}, path)
    return path


def test_a_sound_file_is_sound_and_its_hash_is_told(model: Path) -> None:
    found = verify(model)
    assert (found.sound, found.problems, found.notes, found.tensors) == (True, [], [], 2)
    assert found.sha256 == hashlib.sha256(model.read_bytes()).hexdigest()
    assert found.size == model.stat().st_size


@pytest.mark.parametrize("name", ["zip.ckpt", "old.ckpt", "lightning.ckpt", "eight_bits.pt", "embedding.pt"])
def test_pickles_are_verified_too(name: str) -> None:
    assert verify(GOLDEN / name).problems == []


def test_numbers_that_are_none_are_counted_by_tensor(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"good": numpy.ones(3), "bad": numpy.array([numpy.nan, 1, numpy.inf, numpy.nan], numpy.float16)}, path)
    found = verify(path)
    assert found.unfinite == {"bad": Unfinite(2, 1)}
    assert found.problems == ["1 of its tensors hold numbers that are none: bad has 2 NaN and 1 infinite ones."]


def test_a_half_copied_file_says_so(model: Path) -> None:
    model.write_bytes(model.read_bytes()[:-5])
    (problem,) = verify(model).problems
    assert "it was copied or downloaded in part" in problem


def test_a_damaged_byte_in_an_archives_weights_is_found_by_its_checksum(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    data = bytearray((GOLDEN / "zip.ckpt").read_bytes())
    with zipfile.ZipFile(GOLDEN / "zip.ckpt") as archive:
        entry = archive.getinfo("zip/data/0")
    start = (
        entry.header_offset + 30 + int.from_bytes(data[entry.header_offset + 26 : entry.header_offset + 28], "little")
    )
    start += int.from_bytes(data[entry.header_offset + 28 : entry.header_offset + 30], "little")
    data[start] ^= 1
    path.write_bytes(data)
    assert verify(path).problems == ["The weights '0' are damaged: their checksum differs."]


def test_a_hash_that_was_asked_for_is_compared(model: Path) -> None:
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    assert verify(model, digest[:10].upper()).notes == ["Its sha256 is the one that was asked for."]
    (problem,) = verify(model, "0" * 64).problems
    assert problem == f"Its sha256 is {digest}, not the one that was asked for: {'0' * 64}."
    assert not verify(model, digest[:4]).sound, "four digits prove nothing"


def test_hashes_beside_the_file_are_compared(model: Path) -> None:
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    beside = model.with_name("a.safetensors.sha256")
    beside.write_text(f"{digest}  a.safetensors\n")
    assert verify(model).notes == ["Its sha256 is the one in a.safetensors.sha256."]
    files = [{"hashes": {"SHA256": "A" * 64}}, {"hashes": {"SHA256": digest.upper()}}]
    model.with_suffix(".civitai.info").write_text(json.dumps({"files": files}))
    assert verify(model).notes[1] == "Its sha256 is the one in a.civitai.info."
    beside.write_text("0" * 64)
    assert not verify(model).sound


def test_a_trainers_hash_of_the_weights_is_compared_but_a_difference_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    weights = {"x": numpy.ones(4, numpy.float32)}
    digest = hashlib.sha256(weights["x"].tobytes()).hexdigest()
    save_file(weights, path, {"modelspec.hash_sha256": f"0x{digest}"})
    assert verify(path).notes == ["Its weights are those that its metadata name (modelspec.hash_sha256)."]
    save_file(weights, path, {"sshs_model_hash": "0" * 64})
    found = verify(path)
    assert found.sound
    assert "were changed after that was written" in found.notes[0]


def test_a_diffusers_folder_is_verified_part_by_part(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    (tmp_path / "model_index.json").write_text("{}")
    assert verify(tmp_path).problems == ["The folder holds no weights."]
    save_file({"x": numpy.ones(2)}, tmp_path / "unet" / "diffusion_pytorch_model.safetensors")
    (tmp_path / "unet" / "other.bin").write_bytes(b"<html>")
    found = verify(tmp_path)
    assert (found.files, found.tensors) == (2, 1)
    assert found.problems == [
        "unet/other.bin: It is a web page, not a model: the download was answered with an error or a log-in page."
    ]


def test_a_picture_with_an_embedding_inside_is_sound_and_any_other_is_no_model(tmp_path: Path) -> None:
    assert verify(picture(tmp_path / "cat.png", embedding(2, 768))).sound
    assert verify(picture(tmp_path / "plain.png")).problems == ["It is a picture."]


@pytest.mark.parametrize("content", [b"", b"<html>", b"GGUF....", b"\x80\x02cos\nsystem\n(X\x01\0\0\0xtR."])
def test_what_is_no_model_is_a_problem_and_no_exception(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    assert len(verify(path).problems) == 1


def test_a_file_that_is_not_there_is_a_problem_and_no_exception(tmp_path: Path) -> None:
    assert "cannot be read" in verify(tmp_path / "gone.ckpt").problems[0]
