"""What PyTorch saved is read without running it: every tensor's bytes, and what stands beside the weights."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest

from app.files import PickledFile, PickledTensor, Stub, children_of, read_pickle
from app.files.summarise import summarise
from app.schema.errors import BrokenModelFile, EaselError, ModelNotFound, UnsafeModelFile, UnsupportedModel

GOLDEN = Path(__file__).parents[1] / "golden" / "pickles"
EXPECTED = json.loads((GOLDEN / "tensors.json").read_text("utf-8"))
NUMPY = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I64": "<i8", "BOOL": "?", "BF16": "<u2", "U16": "<u2"}


def values(file: PickledFile, tensor: PickledTensor) -> list[float]:
    """The tensor's elements in C order, read from its storage as the loader would."""
    start = file.storage_starts()[tensor.storage] + tensor.begin
    raw = file.path.read_bytes()[start : start + tensor.span]
    elements = numpy.frombuffer(raw, NUMPY[tensor.dtype])
    if tensor.dtype == "BF16":
        elements = (elements.astype(numpy.uint32) << 16).view(numpy.float32)
    strides = [stride * elements.itemsize for stride in tensor.stride]
    if not elements.size:
        return []
    return numpy.lib.stride_tricks.as_strided(elements, tensor.shape, strides).astype(float).reshape(-1).tolist()


@pytest.mark.parametrize("name", ["zip", "old", "protocol3", "protocol4", "protocol5", "lightning"])
def test_every_tensor_has_the_bytes_that_pytorch_wrote(name: str) -> None:
    file = read_pickle(GOLDEN / f"{name}.ckpt")
    assert list(file.tensors) == list(EXPECTED)
    for key, tensor in file.tensors.items():
        assert list(tensor.shape) == EXPECTED[key]["shape"], key
        assert values(file, tensor) == EXPECTED[key]["values"], key


def test_tensors_that_share_a_storage_and_strides_are_told() -> None:
    tensors = read_pickle(GOLDEN / "zip.ckpt").tensors
    assert tensors["shared"].storage == tensors["second half"].storage
    assert (tensors["second half"].begin, tensors["second half"].span) == (12, 12)
    assert not tensors["transposed"].contiguous
    assert [name for name, tensor in tensors.items() if not tensor.contiguous] == ["transposed"]
    assert (tensors["none"].elements, tensors["none"].span, tensors["scalar"].elements) == (0, 0, 1)


def test_what_stands_beside_the_weights_is_told() -> None:
    file = read_pickle(GOLDEN / "zip.ckpt")
    assert dict(file.metadata) == {"epoch": "3", "global_step": "470000", "pytorch-lightning_version": "1.4.2"}
    assert file.tree["global_step"] == 470000


def test_a_lightning_checkpoints_callbacks_and_numbers_are_inert() -> None:
    tree = read_pickle(GOLDEN / "lightning.ckpt").tree
    ((callback, state),) = tree["callbacks"].items()
    assert callback.text == "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint"
    assert state["best_model_score"] == 0.25
    assert (state["dirpath"].name, state["dirpath"].arguments) == ("pathlib.PosixPath", ("a", "b"))
    assert tree["hyper_parameters"].name == "argparse.Namespace"
    config = tree["hyper_parameters"].state["config"]
    assert (config.name, config.state["_content"]) == ("omegaconf.dictconfig.DictConfig", {"lr": 1e-4, "sizes": [1, 2]})
    assert isinstance(tree["hyper_parameters"].state["when"], Stub)
    assert tree["lr_schedulers"] == [{"base_lrs": [1e-4]}]
    assert (tree["numpy"]["f8"], tree["numpy"]["i8"]) == (1.5, 7)
    assert isinstance(tree["numpy"]["array"], Stub)
    assert sorted(tree["names"]) == ["a", "b"]
    assert tree["size"] == (1, 2)


def test_eight_bit_floats_are_read() -> None:
    file = read_pickle(GOLDEN / "eight_bits.pt")
    assert file.tensors["a"].dtype == "F8_E4M3"
    assert file.tensors["a"].span == 4
    assert values(file, file.tensors["b"]) == [0, 1, 2, 3]


def test_embeddings_of_a1111_are_read_also_old_ones() -> None:
    new, old = read_pickle(GOLDEN / "embedding.pt"), read_pickle(GOLDEN / "old_embedding.pt")
    assert dict(new.metadata) == {"name": "cat", "step": "500", "sd_checkpoint": "8ac1dfeb94"}
    for file in (new, old):
        tensor = file.tensors["string_to_param.*"]
        assert tensor.shape == (2, 768)
        assert values(file, tensor) == list(range(2 * 768))
        ((key, child),) = children_of(file.tree["string_to_param"]) or []
        assert (key, child) == ("*", tensor)


def test_a_hypernetworks_numbers_are_keys() -> None:
    file = read_pickle(GOLDEN / "hypernetwork.pt")
    assert list(file.tensors)[:3] == ["768.0.linear.0.weight", "768.0.linear.0.bias", "768.1.linear.0.weight"]
    assert isinstance(file.tree[320], tuple)


@pytest.mark.parametrize(
    ("name", "kind", "family", "dtype"),
    [
        ("zip.ckpt", "checkpoint", "SD1", "F16"),
        ("old.ckpt", "checkpoint", "SD1", "F16"),
        ("lightning.ckpt", "checkpoint", "SD1", "F16"),
        ("embedding.pt", "embedding", "SD1", "F32"),
        ("old_embedding.pt", "embedding", "SD1", "F32"),
        ("hypernetwork.pt", "hypernetwork", "", "F32"),
        ("linear.pt", "unknown", "", "F32"),
    ],
)
def test_the_library_tells_what_a_pickle_holds(name: str, kind: str, family: str, dtype: str) -> None:
    summary = summarise(GOLDEN / name)
    assert (summary.kind, summary.family, summary.dtype, summary.problem) == (kind, family, dtype, None)


def test_a_whole_object_is_no_weights() -> None:
    with pytest.raises(UnsupportedModel, match=r"object of the class torch\.nn\.modules\.linear\.Linear instead of"):
        read_pickle(GOLDEN / "whole_module.pt")


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        read_pickle(tmp_path / "gone.ckpt")


@pytest.mark.parametrize("name", ["zip.ckpt", "old.ckpt"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.6, 0.9, 0.999])
def test_a_half_copied_file_is_refused(tmp_path: Path, name: str, share: float) -> None:
    whole = (GOLDEN / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(BrokenModelFile, match=r"copied or downloaded in part|is empty|no known model format"):
        read_pickle(path)


def repacked(change: Callable[[str, bytes], tuple[str, bytes] | None], method: int = zipfile.ZIP_STORED) -> bytes:
    """zip.ckpt with its entries changed."""
    file = io.BytesIO()
    with zipfile.ZipFile(GOLDEN / "zip.ckpt") as old, zipfile.ZipFile(file, "w", method) as new:
        for name in old.namelist():
            changed = change(name, old.read(name))
            if changed is not None:
                new.writestr(*changed)
    return file.getvalue()


def test_an_archive_that_another_program_packed_again_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    path.write_bytes(repacked(lambda name, data: (name.replace("zip/", "other folder/"), data)))
    file = read_pickle(path)
    assert values(file, file.tensors["count"]) == [7, 8, 9]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (
            lambda name, data: None if name.endswith("data/0") else (name, data),
            BrokenModelFile,
            "weights '0' are missing",
        ),
        (
            lambda name, data: (name, data[:-2] if name.endswith("data/0") else data),
            BrokenModelFile,
            "bytes instead of",
        ),
        (
            lambda name, data: (name, b"big" if name.endswith("byteorder") else data),
            UnsupportedModel,
            "other way round",
        ),
        (lambda name, data: None if name.endswith("data.pkl") else (name, data), BrokenModelFile, r"no data\.pkl"),
        (lambda name, data: (name, data + b"." if name.endswith("data.pkl") else data), UnsafeModelFile, "followed by"),
    ],
)
def test_an_archive_with_something_wrong_inside_is_refused(
    tmp_path: Path, change: Callable[[str, bytes], tuple[str, bytes] | None], error: type[EaselError], words: str
) -> None:
    path = tmp_path / "a.ckpt"
    path.write_bytes(repacked(change))
    with pytest.raises(error, match=words):
        read_pickle(path)


def test_packed_weights_are_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    path.write_bytes(repacked(lambda name, data: (name, data), zipfile.ZIP_DEFLATED))
    with pytest.raises(UnsupportedModel, match="its weights are packed; save it again"):
        read_pickle(path)


def test_a_pickle_that_pytorch_did_not_save_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(pickle.dumps({"a": [1.5, True, None, 10**30, b"x", (1,), "é"]}, protocol=2))
    with pytest.raises(BrokenModelFile, match="none that PyTorch saves"):
        read_pickle(path)


def test_old_weights_that_are_elsewhere_are_refused(tmp_path: Path) -> None:
    data = bytearray((GOLDEN / "old.ckpt").read_bytes())
    file = read_pickle(GOLDEN / "old.ckpt")
    first = min(file.storage_starts().values())
    struct.pack_into("<Q", data, first - 8, 12345)
    path = tmp_path / "old.ckpt"
    path.write_bytes(data)
    with pytest.raises(BrokenModelFile, match="not where they should be"):
        read_pickle(path).storage_starts()
