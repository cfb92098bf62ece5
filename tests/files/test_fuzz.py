"""Thousands of files that are almost right: each is read or refused in words, none hangs, none is believed."""

from __future__ import annotations

import json
import time
from pathlib import Path
from random import Random

import numpy
import pytest
from safetensors import SafetensorError, safe_open

from app.files import read_header, read_pickle
from app.files.summarise import summarise
from app.files.weights import Weights
from app.schema.errors import BrokenModelFile, UnsupportedModel
from tests.files.making import header_of, safetensors_bytes
from tests.files.mutating import bytes_changed, header_changed, opcodes, pickle_changed, wrapped

GOLDEN = Path(__file__).parents[1] / "golden" / "pickles"
LONGEST_SECONDS = 2.0
EACH_RUN, SLOW_RUN = 800, 15_000

every_run = pytest.mark.parametrize(
    ("seed", "count"), [(1, EACH_RUN), pytest.param(2, SLOW_RUN, marks=pytest.mark.slow)], ids=["short", "long"]
)


def outcome(path: Path, data: bytes) -> str:
    """'read', or the code of the error; any other error fails the test."""
    put(path, data)
    begun = time.process_time()
    try:
        with Weights(path) as weights:
            for name, stored in weights.tensors.items():
                if stored.size <= len(data):
                    assert sum(piece.nbytes for piece in weights.pieces(name)) == stored.size
        code = "read"
    except (BrokenModelFile, UnsupportedModel) as error:
        code = error.code
    assert time.process_time() - begun < LONGEST_SECONDS
    return code


def put(path: Path, data: bytes) -> None:
    """Like `write_bytes`, without first cutting the file to nothing, which makes some file systems flush it."""
    with path.open("r+b" if path.exists() else "wb") as file:
        file.write(data)
        file.truncate()


def counted(codes: list[str]) -> dict[str, int]:
    return {code: codes.count(code) for code in set(codes)}


@every_run
def test_changed_safetensors_headers(tmp_path: Path, seed: int, count: int) -> None:
    random = Random(seed)
    text, size = header_of({"a": (2, 2), "b": (3,), "c": (0, 4)}, "F32", {"k": "v", "名": "值"})
    content, weights = json.loads(text), bytes(size)
    codes = []
    for _ in range(count):
        data = safetensors_bytes(header_changed(content, random), weights)
        codes.append(outcome(tmp_path / "a.safetensors", data))
        if codes[-1] == "read":
            check_against_the_formats_own_reader(tmp_path / "a.safetensors", data)
    assert counted(codes).keys() == {"read", "broken_model_file", "unsafe_model_file"}, "all three ways were taken"


def check_against_the_formats_own_reader(path: Path, data: bytes) -> None:
    """What is read here, the format's own reader reads alike, or refuses."""
    header = read_header(path)
    try:
        with safe_open(path, "numpy") as other:
            assert set(other.keys()) == set(header.tensors)
            for name, place in header.tensors.items():
                assert tuple(other.get_slice(name).get_shape()) == place.shape
                if place.dtype == "F32":
                    assert other.get_tensor(name).tobytes() == data[place.begin : place.end]
    except SafetensorError:
        return


@every_run
def test_changed_safetensors_bytes(tmp_path: Path, seed: int, count: int) -> None:
    random = Random(seed)
    text, size = header_of({"a": (2, 2), "b": (3,)}, "F16", {"k": "v"})
    whole = safetensors_bytes(text, bytes(size))
    codes = [outcome(tmp_path / "a.safetensors", bytes_changed(whole, random)) for _ in range(count)]
    assert counted(codes).keys() >= {"read", "broken_model_file"}


@every_run
def test_changed_archives(tmp_path: Path, seed: int, count: int) -> None:
    random = Random(seed)
    wholes = [(GOLDEN / f"{name}.ckpt").read_bytes() for name in ("zip", "lightning", "protocol4", "protocol5")]
    codes = [outcome(tmp_path / "a.ckpt", pickle_changed(random.choice(wholes), random)) for _ in range(count)]
    assert counted(codes).keys() >= {"read", "broken_model_file", "unsafe_model_file"}


@every_run
def test_changed_files_of_the_old_format(tmp_path: Path, seed: int, count: int) -> None:
    random = Random(seed)
    wholes = [(GOLDEN / name).read_bytes() for name in ("old.ckpt", "old_embedding.pt")]
    codes = [outcome(tmp_path / "a.ckpt", bytes_changed(random.choice(wholes), random)) for _ in range(count)]
    assert counted(codes).keys() >= {"read", "broken_model_file", "unsafe_model_file"}


@every_run
def test_opcodes_in_any_order(tmp_path: Path, seed: int, count: int) -> None:
    random = Random(seed)
    codes = [outcome(tmp_path / "a.ckpt", wrapped(opcodes(random), random)) for _ in range(count)]
    assert counted(codes).keys() >= {"read", "broken_model_file", "unsafe_model_file"}


@every_run
def test_whatever_comes_the_library_says_something(tmp_path: Path, seed: int, count: int) -> None:
    random, path = Random(seed), tmp_path / "a.safetensors"
    wholes = [file.read_bytes() for file in sorted(GOLDEN.iterdir()) if file.suffix in (".ckpt", ".pt")]
    for _ in range(count // 3):
        put(path, bytes_changed(random.choice(wholes), random))
        summary = summarise(path)
        assert summary.problem is None or summary.problem.text.endswith(".")


def test_sound_files_are_read_by_the_same_measure(tmp_path: Path) -> None:
    """The control: the outcome 'read' is what sound files have."""
    for name in ("zip.ckpt", "old.ckpt", "lightning.ckpt", "embedding.pt"):
        assert outcome(tmp_path / "a", (GOLDEN / name).read_bytes()) == "read"
    text, size = header_of({"a": (2, 2)}, "F32")
    assert outcome(tmp_path / "a", safetensors_bytes(text, numpy.ones(4, "f4").tobytes())) == "read"
    assert size == 16
    assert read_pickle(GOLDEN / "zip.ckpt").tensors
