"""What modules take is counted in bytes, and a module runs block by block with the answers of the whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from app.models import load_checkpoint, store_in_eight_bits, taken
from app.models.eight_bit import computes_in, eight_bit_format
from app.models.memory import Taken, blocks, charged, move, stream
from tests.models.checkpoints import tiny_layout, write_tiny_checkpoint
from tests.models.oracles import unet_inputs

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny.safetensors")


def answer(unet: Any) -> Tensor:
    torch.manual_seed(0)
    arguments, added = unet_inputs(tiny_layout())
    with torch.inference_mode():
        result: Tensor = unet(*arguments, **added, return_dict=False)[0]
    return result


def test_a_model_in_the_files_own_precision_is_mapped_and_charged_little(tmp_path: Path) -> None:
    mapped = load_checkpoint(write_tiny_checkpoint(tmp_path / "a.safetensors", dtype=torch.float32))
    converted = load_checkpoint(write_tiny_checkpoint(tmp_path / "b.safetensors"))
    size = taken([mapped.unet]).host
    assert taken([mapped.unet]).mapped > 0.99 * size
    assert taken([converted.unet]) == Taken(0, size, 0)
    assert taken([converted.unet]).counted == size
    assert charged(1600, 1600) == 100
    assert charged(1600, 0) == 1600


def test_another_files_pages_are_never_written_into(tmp_path: Path) -> None:
    pages = write_tiny_checkpoint(tmp_path / "a.safetensors", dtype=torch.float32)
    before = pages.read_bytes()
    mapped = load_checkpoint(pages)
    half = write_tiny_checkpoint(tmp_path / "b.safetensors", seed=1)
    into = load_checkpoint(half, into=mapped)
    assert into.unet is mapped.unet
    assert taken([into.unet]).mapped == 0
    assert torch.equal(answer(into.unet), answer(load_checkpoint(half).unet))
    assert pages.read_bytes() == before


def test_blocks_hold_every_weight_once_and_are_no_larger_than_wanted(file: Path) -> None:
    unet = load_checkpoint(file).unet
    size = 300_000
    parts = list(blocks(unet, size))
    held = [id(weight) for part in parts for weight in part.parameters()]
    assert sorted(held) == sorted(id(weight) for weight in unet.parameters())
    large = [part for part in parts if taken([part]).host > size]
    assert all(not list(part.children()) or list(part.parameters(recurse=False)) for part in large)
    assert len(list(blocks(unet, 10**12))) == 1


def test_a_streamed_u_net_answers_the_same_and_keeps_its_weights_where_they_were(file: Path) -> None:
    unet = load_checkpoint(file).unet
    wanted = answer(unet)
    places = [weight.data_ptr() for weight in unet.parameters()]
    on_device = most = 0

    def copy(tensor: Tensor, device: torch.device) -> Tensor:
        nonlocal on_device, most
        on_device += tensor.nbytes
        most = max(most, on_device)
        return tensor.clone()

    undo = stream(unet, CPU, block=300_000, copy=copy)

    def let_go(*_: object) -> None:
        nonlocal on_device
        on_device = 0

    for part in blocks(unet, 300_000):
        part.register_forward_hook(let_go)
    assert torch.equal(answer(unet), wanted)
    assert most < 0.3 * taken([unet]).host
    assert [weight.data_ptr() for weight in unet.parameters()] == places
    with torch.no_grad():
        unet.conv_in.bias.add_(1.0)  # as a network's patch would
    changed = answer(unet)
    undo()
    assert torch.equal(answer(unet), changed)
    assert not torch.equal(changed, wanted)


def test_a_block_that_fails_gives_its_weights_back() -> None:
    layer = nn.Linear(2, 2)
    place = layer.weight.data_ptr()
    stream(layer, CPU, copy=lambda tensor, device: tensor.clone())
    with pytest.raises(RuntimeError, match="shapes"):
        layer(torch.zeros(1, 3))
    assert layer.weight.data_ptr() == place
    assert layer(torch.zeros(1, 2)).shape == (1, 2)


def test_weights_moved_inside_inference_mode_can_be_changed_outside() -> None:
    layer = nn.Linear(2, 2)
    with torch.inference_mode():
        move(layer, torch.device("meta"))
    assert not layer.weight.is_inference()
    assert layer.weight.is_meta


@pytest.mark.parametrize(("word", "error"), [("e4m3fn", 0.2), ("e5m2", 0.4)])
def test_weights_in_eight_bits_are_computed_with_in_the_models_precision(file: Path, word: str, error: float) -> None:
    model = load_checkpoint(file)
    wanted = answer(model.unet)
    before = taken([model.unet]).host
    store_in_eight_bits(model.unet, eight_bit_format(word))
    assert taken([model.unet]).host < 0.27 * before
    assert model.dtype == computes_in(model.unet) == torch.float32
    got = answer(model.unet)
    assert got.dtype == torch.float32
    assert 0 < float((got - wanted).norm() / wanted.norm()) < error


def test_eight_bits_clamp_what_is_too_large_instead_of_losing_it() -> None:
    layer = nn.Linear(1, 2, bias=False)
    layer.weight.data = torch.tensor([[1000.0], [-1.0]])
    store_in_eight_bits(layer, torch.float8_e4m3fn)
    assert layer(torch.ones(1, 1)).tolist() == [[448.0, -1.0]]
