"""Every tensor of every format is read as the bytes that were written, piece by piece."""

from __future__ import annotations

import json
from pathlib import Path

import numpy
import pytest
from safetensors.numpy import save_file

from app.files import weights as weights_module
from app.files.weights import Weights
from app.schema.errors import BrokenModelFile, UnsupportedModel
from tests.files.making import SD1, write_safetensors

GOLDEN = Path(__file__).parents[1] / "golden" / "pickles"
EXPECTED = json.loads((GOLDEN / "tensors.json").read_text("utf-8"))
NUMPY = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I64": "<i8", "BOOL": "?", "U16": "<u2"}


def values(weights: Weights, name: str) -> list[float]:
    pieces = list(weights.pieces(name))
    if not pieces:
        return []
    raw = numpy.concatenate(pieces)
    if weights.tensors[name].dtype == "BF16":
        return (raw.astype("<u4") << 16).view("<f4").astype(float).tolist()
    return raw.view(NUMPY[weights.tensors[name].dtype]).astype(float).tolist()


@pytest.mark.parametrize("name", ["zip", "old", "protocol4", "lightning"])
def test_a_pickles_tensors_come_in_c_order_whatever_their_strides(name: str) -> None:
    with Weights(GOLDEN / f"{name}.ckpt") as weights:
        assert list(weights.tensors) == list(EXPECTED)
        for key, expected in EXPECTED.items():
            assert list(weights.tensors[key].shape) == expected["shape"]
            assert values(weights, key) == expected["values"], key


def test_what_is_no_weight_of_the_model_is_named() -> None:
    with Weights(GOLDEN / "lightning.ckpt") as weights:
        assert "callbacks" in weights.left_out
        assert "state_dict" not in weights.left_out


def test_a_long_tensor_comes_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights_module, "_PIECE", 64)
    long = numpy.arange(100, dtype=numpy.float32).reshape(10, 10)
    save_file({"long": long, "short": numpy.arange(3, dtype=numpy.int64)}, tmp_path / "a.safetensors", {"k": "v"})
    with Weights(tmp_path / "a.safetensors") as weights:
        assert [len(piece) for piece in weights.pieces("long")] == [16] * 6 + [4]
        assert values(weights, "long") == long.reshape(-1).tolist()
        assert values(weights, "short") == [0, 1, 2]
        assert weights.metadata == {"k": "v"}


def test_a_file_cut_off_while_it_is_read_is_broken(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "a.safetensors", SD1)
    with Weights(path) as weights:
        path.write_bytes(path.read_bytes()[:2000])
        with pytest.raises(BrokenModelFile, match="became shorter while it was read"):
            [list(weights.pieces(name)) for name in weights.tensors]


def test_a_diffusers_folder_is_not_one_file(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text("{}")
    with pytest.raises(UnsupportedModel, match="whose parts are files of their own"):
        Weights(tmp_path)
