"""Pickled checkpoints, new and old, nested and with a trainer's leftovers, load like safetensors; none is run."""

from __future__ import annotations

import pickle
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from app.models import LoadedModel, Precision, load_checkpoint, load_vae
from app.schema.errors import BrokenModelFile, UnsafeModelFile
from tests.models.checkpoints import write_tiny_checkpoint

HALF = Precision(torch.float16, torch.float16, torch.float16)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("plain") / "a.safetensors")


@pytest.fixture(scope="module")
def expected(plain: Path) -> LoadedModel:
    return load_checkpoint(plain, precision=HALF)


@pytest.fixture
def callback() -> Iterator[type]:
    """A class of a program that is not here when the file is read."""
    module = types.ModuleType("pytorch_lightning.callbacks.model_checkpoint")
    made = type("ModelCheckpoint", (), {"__module__": module.__name__})
    module.ModelCheckpoint = made  # type: ignore[attr-defined]
    names = ("pytorch_lightning", "pytorch_lightning.callbacks", module.__name__)
    sys.modules.update(dict.fromkeys(names, module))
    yield made
    for name in names:
        del sys.modules[name]


def same(ours: LoadedModel, expected: LoadedModel) -> bool:
    theirs = dict(expected.weights()) | dict(expected.vae.module.named_parameters())
    weights = dict(ours.weights()) | dict(ours.vae.module.named_parameters())
    return weights.keys() == theirs.keys() and all(torch.equal(t, theirs[path]) for path, t in weights.items())


@pytest.mark.parametrize("new_format", [True, False], ids=["zip", "before 1.6"])
def test_a_trainers_checkpoint_loads_without_what_belongs_to_the_trainer(
    new_format: bool, plain: Path, expected: LoadedModel, tmp_path: Path, callback: type
) -> None:
    content: dict[str, Any] = {
        "epoch": 3,
        "global_step": 470000,
        "pytorch-lightning_version": "1.4.2",
        "state_dict": load_file(plain),
        "callbacks": {callback: {"best_model_score": torch.tensor(0.1)}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(3)}}}],
        "lr_schedulers": [{"base_lrs": [1e-4], "last_epoch": 1}],
    }
    path = tmp_path / "训练 模型 🎨 v1.5.ckpt"
    torch.save(content, path, _use_new_zipfile_serialization=new_format)
    model = load_checkpoint(path, precision=HALF)
    assert same(model, expected)
    assert (model.metadata["global_step"], model.report) == ("470000", ())


def test_content_decides_what_a_file_is_and_not_its_name(plain: Path, expected: LoadedModel, tmp_path: Path) -> None:
    pickled = tmp_path / "really a pickle.safetensors"
    torch.save(load_file(plain), pickled)
    assert same(load_checkpoint(pickled, precision=HALF), expected)
    mapped = tmp_path / "really safetensors.ckpt"
    mapped.write_bytes(plain.read_bytes())
    assert same(load_checkpoint(mapped, precision=HALF), expected)


def test_tensors_share_the_files_pages_and_never_change_the_file(plain: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    torch.save(load_file(plain), path)
    before = path.read_bytes()
    model = load_checkpoint(path, precision=HALF)
    first, second = model.unet.conv_in.weight, model.unet.conv_out.weight
    raw = [before.index(bytes(weight.data.reshape(-1).view(torch.uint8).numpy())) for weight in (first, second)]
    assert second.data_ptr() - first.data_ptr() == raw[1] - raw[0]
    with torch.no_grad():
        first.add_(1)
    assert path.read_bytes() == before


def test_views_of_a_larger_tensor_come_out_as_they_were_put_in(plain: Path, tmp_path: Path) -> None:
    tensors = load_file(plain)
    key = "model.diffusion_model.time_embed.0.weight"
    wanted = tensors[key].clone()
    stacked = torch.stack([wanted, wanted + 1]).transpose(1, 2).contiguous()
    tensors[key] = stacked[0].t()
    torch.save(tensors, tmp_path / "views.ckpt")
    model = load_checkpoint(tmp_path / "views.ckpt", precision=HALF)
    assert torch.equal(model.unet.time_embedding.linear_1.weight, wanted)
    assert model.unet.time_embedding.linear_1.weight.is_contiguous()


def test_a_pickled_vae_with_its_loss_loads(plain: Path, expected: LoadedModel, tmp_path: Path) -> None:
    prefix = "first_stage_model."
    weights = {name.removeprefix(prefix): t for name, t in load_file(plain).items() if name.startswith(prefix)}
    torch.save({"state_dict": {**weights, "loss.logvar": torch.zeros(1)}}, tmp_path / "a.vae.pt")
    vae = load_vae(tmp_path / "a.vae.pt", scaling_factor=0.18215, dtype=torch.float16)
    theirs = expected.vae.module.state_dict()
    assert [name for name, t in vae.module.state_dict().items() if not torch.equal(t, theirs[name])] == []


def test_a_file_that_would_run_something_is_refused_and_runs_nothing(tmp_path: Path) -> None:
    marker = tmp_path / "touched"

    class Attack:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
            return Path.touch, (marker,)

    torch.save({"state_dict": {"model.diffusion_model.x": Attack()}}, tmp_path / "attack.ckpt")
    (tmp_path / "raw.ckpt").write_bytes(pickle.dumps(Attack()))
    for name in ("attack.ckpt", "raw.ckpt"):
        with pytest.raises((UnsafeModelFile, BrokenModelFile)):
            load_checkpoint(tmp_path / name)
    assert not marker.exists()


def test_a_pickle_cut_short_is_refused_in_words(plain: Path, tmp_path: Path) -> None:
    for new_format in (True, False):
        path = tmp_path / f"{new_format}.ckpt"
        torch.save(load_file(plain), path, _use_new_zipfile_serialization=new_format)
        path.write_bytes(path.read_bytes()[:-100_000])
        with pytest.raises(BrokenModelFile, match=path.name):
            load_checkpoint(path)


def averaged(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """LDM's names of averaged weights: the parameter's name below the diffusion wrapper, without its dots."""
    found = {}
    for name, tensor in tensors.items():
        if name.startswith("model."):
            found["model_ema." + name.removeprefix("model.").replace(".", "")] = tensor
    return found | {"model_ema.decay": torch.tensor(0.9999), "model_ema.num_updates": torch.tensor(7)}


@pytest.mark.parametrize("family", ["SD1", "SDXL"])
def test_averaged_weights_serve_where_the_plain_ones_are_absent(family: str, tmp_path: Path) -> None:
    deep = {"depths": (0, 1, 11), "middle_depth": 11} if family == "SDXL" else {}
    path = write_tiny_checkpoint(tmp_path / "plain.safetensors", family, **deep)
    tensors = load_file(path)
    others = {name: tensor for name, tensor in tensors.items() if not name.startswith("model.")}
    save_file(others | averaged(tensors), tmp_path / "ema.safetensors")
    model = load_checkpoint(tmp_path / "ema.safetensors", precision=HALF)
    assert same(model, load_checkpoint(path, precision=HALF))
    assert model.report == ()


def test_where_both_are_there_the_plain_weights_are_used(plain: Path, expected: LoadedModel, tmp_path: Path) -> None:
    tensors = load_file(plain)
    wrong = {name: tensor + 1 for name, tensor in averaged(tensors).items()}
    save_file(tensors | wrong, tmp_path / "both.safetensors")
    model = load_checkpoint(tmp_path / "both.safetensors", precision=HALF)
    assert same(model, expected)
    assert model.report == ()
