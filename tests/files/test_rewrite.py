"""A checkpoint written anew holds the same numbers, less what a training left behind; nothing is half written."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy
import pytest
from safetensors.numpy import load_file, safe_open, save_file

from app.files import read_header
from app.files.rewrite import conversion, pruning, rewrite, size_of
from app.files.weights import Weights
from app.schema.errors import BrokenModelFile, CannotWrite, DiskFull, UnsupportedModel

GOLDEN = Path(__file__).parents[1] / "golden" / "pickles"
EXPECTED = json.loads((GOLDEN / "tensors.json").read_text("utf-8"))
UNET = "model.diffusion_model.input_blocks.0.0.weight"
AVERAGED = "model_ema.diffusion_modelinput_blocks00weight"


def numbers(*shape: int) -> numpy.ndarray:
    return numpy.random.default_rng(1).normal(0, 1, shape).astype(numpy.float32)


def trained(path: Path) -> dict[str, numpy.ndarray]:
    """A checkpoint as a training leaves it."""
    tensors = {
        UNET: numbers(4, 4),
        AVERAGED: numbers(4, 4) + 1,
        "model_ema.decay": numpy.array(0.999, numpy.float32),
        "first_stage_model.decoder.conv_in.weight": numbers(3, 3).astype(numpy.float16),
        "first_stage_model.loss.discriminator.main.0.weight": numbers(2, 2),
        "cond_stage_model.transformer.text_model.embeddings.position_ids": numpy.arange(77).reshape(1, 77),
        "alphas_cumprod": numbers(1000),
    }
    save_file(tensors, path, {"modelspec.title": "t", "sshs_model_hash": "0" * 64, "名": "值"})
    return tensors


@pytest.mark.parametrize("name", ["zip", "old", "protocol5", "lightning"])
def test_a_pickle_becomes_a_safetensors_file_with_the_same_numbers(tmp_path: Path, name: str) -> None:
    new = tmp_path / "new.safetensors"
    with Weights(GOLDEN / f"{name}.ckpt") as weights:
        plan = conversion(weights)
        written = rewrite(weights, plan, new)
        dtypes = {key: stored.dtype for key, stored in weights.tensors.items()}
    assert {key: place.dtype for key, place in read_header(new).tensors.items()} == dtypes
    with safe_open(new, "numpy") as file:
        assert file.metadata()["format"] == "pt"
        for key, expected in EXPECTED.items():
            assert list(file.get_slice(key).get_shape()) == expected["shape"]
            if dtypes[key] != "BF16":
                assert file.get_tensor(key).astype(float).reshape(-1).tolist() == expected["values"], key
    assert written.sha256 == hashlib.sha256(new.read_bytes()).hexdigest()
    assert written.size == new.stat().st_size


def test_a_pickles_short_facts_become_metadata(tmp_path: Path) -> None:
    with Weights(GOLDEN / "zip.ckpt") as weights:
        rewrite(weights, conversion(weights), tmp_path / "new.safetensors")
    assert read_header(tmp_path / "new.safetensors").metadata["global_step"] == "470000"


def test_all_numbers_may_be_narrowed_and_hashes_that_are_no_longer_true_go(tmp_path: Path) -> None:
    old, new = tmp_path / "old.safetensors", tmp_path / "new.safetensors"
    tensors = trained(old)
    with Weights(old) as weights:
        rewrite(weights, conversion(weights, "F16"), new)
    assert read_header(new).metadata == {"format": "pt", "modelspec.title": "t", "名": "值"}
    narrow = load_file(new)
    for name, tensor in tensors.items():
        floating = tensor.dtype.kind == "f"
        numpy.testing.assert_array_equal(narrow[name], tensor.astype(numpy.float16) if floating else tensor, name)


def test_a_conversion_to_the_same_is_the_same_file_in_content(tmp_path: Path) -> None:
    old, new = tmp_path / "old.safetensors", tmp_path / "new.safetensors"
    tensors = trained(old)
    with Weights(old) as weights:
        rewrite(weights, conversion(weights), new)
    assert read_header(new).metadata == {"format": "pt", **read_header(old).metadata}
    for name, tensor in load_file(new).items():
        numpy.testing.assert_array_equal(tensor, tensors[name])


def test_widest_types_come_first_so_that_each_tensor_is_aligned(tmp_path: Path) -> None:
    trained(tmp_path / "old.safetensors")
    with Weights(tmp_path / "old.safetensors") as weights:
        rewrite(weights, conversion(weights), tmp_path / "new.safetensors")
    header = read_header(tmp_path / "new.safetensors")
    widths = [{"I64": 8, "F32": 4, "F16": 2}[place.dtype] for place in header.tensors.values()]
    assert widths == sorted(widths, reverse=True)
    assert all(place.begin % width == 0 for place, width in zip(header.tensors.values(), widths, strict=True))


def test_pruning_leaves_out_what_a_training_keeps_for_itself(tmp_path: Path) -> None:
    tensors = trained(tmp_path / "old.safetensors")
    with Weights(tmp_path / "old.safetensors") as weights:
        plan = pruning(weights)
        rewrite(weights, plan, tmp_path / "new.safetensors")
        assert set(plan.left_out) == {
            AVERAGED,
            "model_ema.decay",
            "first_stage_model.loss.discriminator.main.0.weight",
        }
    new = load_file(tmp_path / "new.safetensors")
    numpy.testing.assert_array_equal(new[UNET], tensors[UNET].astype(numpy.float16))
    assert new["alphas_cumprod"].dtype == numpy.float32, "the noise schedule stays exact"
    assert new["cond_stage_model.transformer.text_model.embeddings.position_ids"].dtype == numpy.int64


def test_the_averaged_weights_may_take_the_others_place(tmp_path: Path) -> None:
    tensors = trained(tmp_path / "old.safetensors")
    with Weights(tmp_path / "old.safetensors") as weights:
        rewrite(weights, pruning(weights, "F32", ema=True), tmp_path / "new.safetensors")
    new = load_file(tmp_path / "new.safetensors")
    numpy.testing.assert_array_equal(new[UNET], tensors[AVERAGED])
    assert AVERAGED not in new
    with Weights(tmp_path / "new.safetensors") as weights, pytest.raises(UnsupportedModel, match="no averaged"):
        pruning(weights, ema=True)


def test_a_file_with_averaged_weights_alone_keeps_them(tmp_path: Path) -> None:
    save_file({AVERAGED: numbers(4, 4), "first_stage_model.x.weight": numbers(2)}, tmp_path / "old.safetensors")
    with Weights(tmp_path / "old.safetensors") as weights:
        assert AVERAGED in pruning(weights).tensors


def test_a_narrow_file_stays_as_narrow_as_it_is(tmp_path: Path) -> None:
    save_file({"a.weight": numbers(4).astype(numpy.float16)}, tmp_path / "old.safetensors")
    with Weights(tmp_path / "old.safetensors") as weights:
        assert pruning(weights, "F32").tensors["a.weight"].dtype == "F16"


def test_a_number_too_large_for_its_new_type_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    save_file({"a.weight": numpy.array([1.0, 1e6], numpy.float32)}, tmp_path / "old.safetensors")
    with (
        Weights(tmp_path / "old.safetensors") as weights,
        pytest.raises(CannotWrite, match=r"a\.weight holds numbers that F16 cannot hold.*bf16"),
    ):
        rewrite(weights, pruning(weights), tmp_path / "new.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["old.safetensors"]


def test_numbers_that_are_none_already_are_kept_as_they_are(tmp_path: Path) -> None:
    save_file({"a.weight": numpy.array([numpy.nan, numpy.inf, 1], numpy.float32)}, tmp_path / "old.safetensors")
    with Weights(tmp_path / "old.safetensors") as weights:
        rewrite(weights, pruning(weights), tmp_path / "new.safetensors")
    numpy.testing.assert_array_equal(load_file(tmp_path / "new.safetensors")["a.weight"], [numpy.nan, numpy.inf, 1])


def test_free_room_is_looked_at_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(tmp_path / "old.safetensors")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 90, 10))  # type: ignore[attr-defined]
    with Weights(tmp_path / "old.safetensors") as weights, pytest.raises(DiskFull, match=r"10 bytes are free"):
        rewrite(weights, conversion(weights), tmp_path / "new.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["old.safetensors"]


def test_a_file_that_breaks_off_leaves_nothing_and_keeps_what_stood_there(tmp_path: Path) -> None:
    old, new = tmp_path / "old.safetensors", tmp_path / "new.safetensors"
    trained(old)
    new.write_bytes(b"before")
    with Weights(old) as weights:
        plan = conversion(weights)
        old.write_bytes(old.read_bytes()[:-4000])
        with pytest.raises(BrokenModelFile, match="became shorter"):
            rewrite(weights, plan, new)
    assert new.read_bytes() == b"before"
    assert len(list(tmp_path.iterdir())) == 2


def test_the_size_is_known_beforehand_and_progress_reaches_it(tmp_path: Path) -> None:
    trained(tmp_path / "old.safetensors")
    told: list[tuple[int, int]] = []
    with Weights(tmp_path / "old.safetensors") as weights:
        plan = pruning(weights)
        size = size_of(weights, plan)
        written = rewrite(weights, plan, tmp_path / "new.safetensors", lambda done, of: told.append((done, of)))
    assert told[-1] == (size, size) == (written.size, written.size)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_an_embedding_goes_under_the_name_that_other_programs_look_for(tmp_path: Path) -> None:
    with Weights(GOLDEN / "embedding.pt") as weights:
        rewrite(weights, conversion(weights), tmp_path / "cat.safetensors")
    (name, place), *others = read_header(tmp_path / "cat.safetensors").tensors.items()
    assert (name, place.shape, others) == ("emb_params", (2, 768), [])


def test_a_hypernetworks_settings_have_no_place_in_a_safetensors_file() -> None:
    with Weights(GOLDEN / "hypernetwork.pt") as weights, pytest.raises(UnsupportedModel, match="hypernetwork"):
        conversion(weights)
