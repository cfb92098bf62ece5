"""A set of networks comes on and goes off without a trace, whatever happens; only what differs is touched."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from app.models import LoadedModel, Precision, load_checkpoint
from app.models.checkpoint_file import open_weights
from app.networks import FilePatch, Wanted, attach_side_path
from app.schema.errors import ModelChanged, UnsupportedModel
from tests.models.checkpoints import LAYOUTS, write_tiny_checkpoint
from tests.models.oracles import unet_inputs
from tests.networks.making import (
    SIDES,
    differing,
    kohya,
    layers,
    low_rank,
    near,
    network_set,
    saved,
    state_hash,
    tiny_model,
    wanted,
    weights_of,
)

RANK = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sets")


@pytest.fixture(scope="module")
def model(folder: Path) -> LoadedModel:
    return tiny_model(folder)


def lora(path: Path, model: LoadedModel, seed: int, part: str = "") -> Path:
    """A LoRA for all layers whose paths begin with `part`."""
    tensors: dict[str, Tensor] = {}
    for number, (name, layer) in enumerate(layers(model).items()):
        if name.startswith(part):
            down, up = low_rank(layer, RANK, 1000 * seed + number)
            tensors |= {f"{kohya(name)}.lora_down.weight": down, f"{kohya(name)}.lora_up.weight": up * 0.1}
            tensors[f"{kohya(name)}.alpha"] = torch.tensor(2.0)
    return saved(path, tensors)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("precision", ["as in the file", "fp32"])
def test_every_bit_is_back_and_the_file_serves_as_the_copy(dtype: torch.dtype, precision: str, tmp_path: Path) -> None:
    path = write_tiny_checkpoint(tmp_path / "model.safetensors", dtype=dtype, vocabulary=512)
    chosen = dtype if precision == "as in the file" else torch.float32
    model = load_checkpoint(path, precision=Precision(chosen, chosen, chosen))
    before, content = state_hash(model), path.read_bytes()
    networks = network_set()
    networks.apply(model, [wanted(lora(tmp_path / "a.safetensors", model, 1))])
    assert state_hash(model) != before
    assert networks.kept_bytes(model) == 0
    networks.apply(model, [])
    assert state_hash(model) == before
    assert path.read_bytes() == content


def test_a_model_without_a_file_keeps_copies_while_they_are_needed(folder: Path, tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    own = replace(model, file=None)
    with torch.no_grad():
        own.unet.conv_in.weight.add_(1)  # as a training's preview: no file says this
    before = state_hash(own)
    networks = network_set()
    networks.apply(own, [wanted(lora(tmp_path / "a.safetensors", own, 1, "unet."))])
    kept = networks.kept_bytes(own)
    networks.clear(own)
    assert kept > 0 == networks.kept_bytes(own)
    assert state_hash(own) == before


def test_a_weight_that_the_file_does_not_hold_is_copied(tmp_path: Path) -> None:
    """The fingerprint says that the file was loaded, and someone has changed a layer since."""
    model = tiny_model(tmp_path)
    with torch.no_grad():
        model.unet.conv_in.weight.add_(1)
    before = state_hash(model)
    networks = network_set()
    networks.apply(model, [wanted(lora(tmp_path / "a.safetensors", model, 1, "unet.conv_in"))])
    assert networks.kept_bytes(model) == model.unet.conv_in.weight.nbytes
    networks.clear(model)
    assert state_hash(model) == before


def test_strengths_of_text_and_unet_act_on_their_own_parts(model: LoadedModel, tmp_path: Path) -> None:
    file = lora(tmp_path / "a.safetensors", model, 1)
    untouched = weights_of(model)
    networks = network_set()
    networks.apply(model, [wanted(file)])
    whole = weights_of(model)
    networks.apply(model, [wanted(file, text=0.0, unet=-0.5)])
    half = weights_of(model)
    networks.apply(model, [wanted(file, text=0.25, unet=0.0)])
    text_only = weights_of(model)
    networks.clear(model)
    for path, tensor in untouched.items():
        change = whole[path] - tensor
        if path.startswith("unet."):
            assert near(half[path], tensor - 0.5 * change)
            assert torch.equal(text_only[path], tensor)
        else:
            assert torch.equal(half[path], tensor)
            assert near(text_only[path], tensor + 0.25 * change)


def test_dyn_takes_the_first_rows_of_the_rank_and_keeps_the_scale(model: LoadedModel, tmp_path: Path) -> None:
    path = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    down, up = low_rank(layers(model)[path], RANK, 7)
    names = {f"{kohya(path)}.lora_down.weight": down, f"{kohya(path)}.lora_up.weight": up}
    file = saved(tmp_path / "a.safetensors", names | {f"{kohya(path)}.alpha": torch.tensor(2.0)})
    untouched = weights_of(model)[f"{path}.weight"]
    networks = network_set()
    networks.apply(model, [wanted(file, rank=1)])
    assert near(weights_of(model)[f"{path}.weight"], untouched + 2 / RANK * up[:, :1] @ down[:1])
    networks.apply(model, [wanted(file, rank=0)])
    assert torch.equal(weights_of(model)[f"{path}.weight"], untouched)
    networks.clear(model)


def test_several_add_up_in_order_and_a_set_is_the_same_whatever_was_on_before(
    model: LoadedModel, tmp_path: Path
) -> None:
    files = [lora(tmp_path / f"{seed}.safetensors", model, seed) for seed in (1, 2, 3)]
    before, untouched = state_hash(model), weights_of(model)
    networks = network_set()
    alone = []
    for file in files:
        networks.apply(model, [wanted(file)])
        alone.append(weights_of(model))
    sets = [[wanted(files[0]), wanted(files[1], unet=0.3), wanted(files[2])], [wanted(files[2])], []]
    networks.apply(model, sets[0])
    together, first = weights_of(model), state_hash(model)
    for other in (sets[1], sets[0]):
        networks.apply(model, other)
    assert state_hash(model) == first
    networks.apply(model, [])
    assert state_hash(model) == before
    for path, tensor in untouched.items():
        changes = [weights[path] - tensor for weights in alone]
        second = 0.3 if path.startswith("unet.") else 1.0
        assert near(together[path], tensor + changes[0] + second * changes[1] + changes[2])


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Paths of the weights that are changed."""
    seen: list[str] = []
    usual = FilePatch.changed

    def changed(self: FilePatch, model: LoadedModel, path: str, *rest: Any) -> Tensor:
        seen.append(path)
        return usual(self, model, path, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(FilePatch, "changed", changed)
        yield seen


def test_only_what_differs_between_two_sets_is_touched(
    model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = lora(tmp_path / "text.safetensors", model, 1, "text_encoders.")
    down = lora(tmp_path / "down.safetensors", model, 2, "unet.down_blocks.")
    up = lora(tmp_path / "up.safetensors", model, 3, "unet.up_blocks.")
    networks = network_set()
    networks.apply(model, [wanted(text), wanted(down), wanted(up)])
    before = weights_of(model)
    with counted(monkeypatch) as seen:
        networks.apply(model, [wanted(text), wanted(down), wanted(up, unet=0.5)])
        networks.apply(model, [wanted(text), wanted(down), wanted(up, unet=0.5)])
    assert len(seen) == len(set(seen)) > 10
    assert all(path.startswith("unet.up_blocks.") for path in seen)
    assert differing(before, weights_of(model)) == set(seen)
    with counted(monkeypatch) as seen:
        networks.apply(model, [wanted(text)])
    networks.clear(model)
    assert seen == []


@pytest.mark.parametrize("error", [RuntimeError("no memory"), KeyboardInterrupt()])
def test_an_exception_or_interrupt_in_the_middle_leaves_no_trace(
    error: BaseException, model: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (lora(tmp_path / f"{seed}.safetensors", model, seed) for seed in (1, 2))
    before = state_hash(model)
    networks = network_set()
    networks.apply(model, [wanted(one)])
    on = state_hash(model)
    usual, calls = FilePatch.changed, iter(range(1000))

    def breaking(self: FilePatch, model: LoadedModel, path: str, weight: Tensor, *rest: Any) -> Tensor:
        weight = usual(self, model, path, weight, *rest)
        if next(calls) == 30:
            raise error
        return weight

    with monkeypatch.context() as patched:
        patched.setattr(FilePatch, "changed", breaking)
        with pytest.raises(type(error)):
            networks.apply(model, [wanted(two), wanted(one)])
    assert state_hash(model) == before
    assert networks.on(model) == model.networks == ()
    networks.apply(model, [wanted(one)])
    assert state_hash(model) == on
    networks.clear(model)
    assert state_hash(model) == before


def test_a_lora_of_another_family_is_refused_before_a_weight_is_touched(model: LoadedModel, tmp_path: Path) -> None:
    good = lora(tmp_path / "good.safetensors", model, 1)
    name = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k"
    tensors = {f"{name}.lora_down.weight": torch.zeros(4, 2048), f"{name}.lora_up.weight": torch.zeros(640, 4)}
    bad = saved(tmp_path / "bad.safetensors", tensors)
    networks = network_set()
    networks.apply(model, [wanted(good)])
    on = state_hash(model)
    with pytest.raises(UnsupportedModel, match="bad was made for SDXL; the checkpoint is of the family SD1"):
        networks.apply(model, [wanted(good), wanted(bad)])
    assert state_hash(model) == on
    networks.clear(model)


def test_an_absurd_rank_is_refused_before_its_weights_are_read(model: LoadedModel, tmp_path: Path) -> None:
    tensors = {
        "lora_unet_conv_in.lora_down.weight": torch.zeros(5000, 4),
        "lora_unet_conv_in.lora_up.weight": torch.zeros(32, 5000),
    }
    with pytest.raises(UnsupportedModel, match="rank of 5,000; the limit is 4,096"):
        network_set().apply(model, [wanted(saved(tmp_path / "wide.safetensors", tensors))])


def test_a_file_replaced_since_the_job_was_submitted_is_refused(model: LoadedModel, tmp_path: Path) -> None:
    file = lora(tmp_path / "a.safetensors", model, 1, "unet.conv_in")
    one: Wanted = wanted(file)._replace(mtime_ns=1)
    with pytest.raises(ModelChanged, match=r"a\.safetensors was replaced after the job was submitted"):
        network_set().apply(model, [one])


def test_a_pickled_lora_does_what_the_same_safetensors_does(model: LoadedModel, tmp_path: Path) -> None:
    file = lora(tmp_path / "a.safetensors", model, 1)
    from_safetensors, from_pickle = network_set(), network_set()
    from_safetensors.apply(model, [wanted(file)])
    first = state_hash(model)
    from_safetensors.clear(model)
    torch.save({"state_dict": load_file(file)}, tmp_path / "a.pt")
    from_pickle.apply(model, [wanted(tmp_path / "a.pt")])
    assert state_hash(model) == first
    from_pickle.clear(model)


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 2e-5), (torch.bfloat16, 4e-2)])
@torch.inference_mode()
def test_the_side_path_answers_as_the_merged_weights_do(dtype: torch.dtype, bound: float, tmp_path: Path) -> None:
    path = write_tiny_checkpoint(tmp_path / "m.safetensors", "SD1", vocabulary=512, **SIDES["SD1"])
    with torch.inference_mode(mode=False):
        model = load_checkpoint(path, precision=Precision(dtype, dtype, dtype))
    file = lora(tmp_path / "a.safetensors", model, 4)
    before = state_hash(model)
    arguments, _ = unet_inputs(LAYOUTS["SD1"])
    x, time, context = arguments
    inputs = (x.to(dtype), time, context.to(dtype))
    vectors = torch.randn(1, 77, model.text_encoders[0].facts.width, dtype=dtype)

    def answers() -> tuple[Tensor, Tensor]:
        picture = model.unet(*inputs, return_dict=False)[0]
        return picture.float(), model.text_encoders[0].encode(vectors).hidden.float()

    plain = answers()
    networks = network_set()
    networks.apply(model, [wanted(file, text=0.7, unet=0.5)])
    merged = answers()
    networks.clear(model)
    undo = attach_side_path(FilePatch(open_weights(file), "a"), model, text=0.7, unet=0.5)
    beside = answers()
    assert state_hash(model) == before
    undo()
    after = answers()
    for alone, whole, side, again in zip(plain, merged, beside, after, strict=True):
        assert (side - whole).abs().max() <= bound * whole.abs().max()
        assert (alone - whole).abs().max() > 3 * (side - whole).abs().max()
        assert torch.equal(alone, again)


def test_the_side_path_refuses_what_is_no_product_of_two_matrices(model: LoadedModel, tmp_path: Path) -> None:
    path = "unet.mid_block.attentions.0.proj_in"
    shape = layers(model)[path].weight.shape
    file = saved(tmp_path / "full.safetensors", {f"{kohya(path)}.diff": torch.zeros(shape)})
    with pytest.raises(UnsupportedModel, match=r"full is no plain LoRA \(Full\) and can only be merged"):
        attach_side_path(FilePatch(open_weights(file), "full"), model)


def test_what_is_on_a_model_dies_with_it(tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    networks = network_set()
    networks.apply(model, [wanted(lora(tmp_path / "a.safetensors", model, 1, "unet."))])
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
