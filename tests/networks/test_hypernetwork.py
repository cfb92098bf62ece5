"""A hypernetwork acts on keys and values by width, as A1111's does, and leaves the model as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from app.models import LoadedModel
from app.networks import Hypernetwork
from app.schema.errors import BrokenModelFile, UnsafeModelFile, UnsupportedModel
from tests.models.checkpoints import LAYOUTS
from tests.models.oracles import near, unet_inputs
from tests.networks.making import network_set, state_hash, tiny_model, wanted

WIDTHS = (32, 64)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return tiny_model(tmp_path_factory.mktemp("hypernetworks"))


def chain(width: int, layers: list[Any]) -> nn.Sequential:
    """torch's own chain of modules: numbers stand for widths of linear layers, as multiples."""
    modules: list[nn.Module] = []
    inward = width
    for layer in layers:
        if isinstance(layer, int | float):
            modules.append(nn.Linear(inward, int(width * layer)))
            inward = int(width * layer)
        else:
            modules.append(layer(inward))
    return nn.Sequential(*modules).requires_grad_(False).eval()


def norm(width: int) -> nn.Module:
    layer = nn.LayerNorm(width)
    nn.init.normal_(layer.weight, 1, 0.2)
    nn.init.normal_(layer.bias, 0, 0.2)
    return layer


def plain(module: type[nn.Module]) -> Any:
    return lambda width: module()


def dropped(width: int) -> nn.Module:
    return nn.Dropout(0.25)


def file_of(path: Path, pairs: dict[int, tuple[nn.Sequential, nn.Sequential]], old: bool = False, **flags: Any) -> Path:
    """A1111's layout: whole-number keys with a pair of state dicts, and what describes them."""
    content: dict[Any, Any] = {"step": 100, "name": path.stem, "sd_checkpoint": None, **flags}
    for width, pair in pairs.items():
        states = [{f"linear.{name}": t.clone() for name, t in part.state_dict().items()} for part in pair]
        if old:
            states = [
                {n.replace("linear.0", "linear1").replace("linear.1", "linear2"): t for n, t in s.items()}
                for s in states
            ]
        content[width] = tuple(states)
    torch.save(content, path)
    return path


KINDS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "without an activation": ([2, 1], {"layer_structure": [1, 2, 1], "activation_func": "linear"}),
    "with layer norms": (
        [2, plain(nn.ReLU), norm, 2, plain(nn.ReLU), norm, 1, norm],
        {"layer_structure": [1, 2, 2, 1], "activation_func": "relu", "is_layer_norm": True, "activate_output": False},
    ),
    "with an activated output": (
        [1.5, plain(nn.Tanh), 1, plain(nn.Tanh)],
        {"layer_structure": [1, 1.5, 1], "activation_func": "tanh", "activate_output": True},
    ),
    "whose flag for the output is missing": (
        [2, plain(nn.Hardswish), 1, plain(nn.Hardswish)],
        {"layer_structure": [1, 2, 1], "activation_func": "swish"},
    ),
    "with dropout that only counts": (
        [1.5, plain(nn.LeakyReLU), dropped, 1],
        {
            "layer_structure": [1, 1.5, 1],
            "activation_func": "leakyrelu",
            "activate_output": False,
            "use_dropout": True,
            "dropout_structure": [0, 0.25, 0],
        },
    ),
    "with dropout of old, before the last layer": (
        [2, plain(nn.ELU), dropped, 2, plain(nn.ELU), dropped, 1],
        {
            "layer_structure": [1, 2, 2, 1],
            "activation_func": "elu",
            "activate_output": False,
            "use_dropout": True,
            "last_layer_dropout": True,
        },
    ),
    "with any of torch's activations": (
        [2, plain(nn.Softplus), 1],
        {"layer_structure": [1, 2, 1], "activation_func": "softplus", "activate_output": False},
    ),
    "with an activation that has weights": (
        [2, plain(nn.PReLU), 1],
        {"layer_structure": [1, 2, 1], "activation_func": "prelu", "activate_output": False},
    ),
}


def seen_by(model: LoadedModel) -> dict[str, Tensor]:
    """What every key and value layer reads during one call."""
    seen: dict[str, Tensor] = {}
    handles = []
    for name, module in model.unet.named_modules():
        if name.endswith(("to_k", "to_v")):
            handles.append(
                module.register_forward_hook(lambda _, inputs, __, name=name: seen.__setitem__(name, inputs[0].clone()))
            )
    arguments, added = unet_inputs(LAYOUTS["SD1"])
    with torch.inference_mode():
        model.unet(*arguments, **added, return_dict=False)
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize("name", KINDS)
def test_each_structure_computes_what_torchs_own_chain_does(name: str, model: LoadedModel, tmp_path: Path) -> None:
    torch.manual_seed(3)
    layers, flags = KINDS[name]
    pair = chain(32, layers), chain(32, layers)
    file = file_of(tmp_path / "h.pt", {32: pair}, **flags)
    before, context = state_hash(model), unet_inputs(LAYOUTS["SD1"])[0][2]
    untouched = seen_by(model)
    undo = Hypernetwork(file, "h").attach(model, 0.8)
    seen = seen_by(model)
    undo()
    cross = [layer for layer in seen if "attn2" in layer]
    assert len(cross) > 4
    for layer in cross:
        part = pair[0] if layer.endswith("to_k") else pair[1]
        assert near(seen[layer], context + 0.8 * part(context))
    first = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_v"
    assert near(seen[first], untouched[first] + 0.8 * pair[1](untouched[first]))
    again = seen_by(model)
    assert all(torch.equal(tensor, again[layer]) for layer, tensor in untouched.items())
    assert state_hash(model) == before


def test_files_of_the_first_generation(tmp_path: Path) -> None:
    pair = chain(64, [2, 1]), chain(64, [2, 1])
    hypernetwork = Hypernetwork(file_of(tmp_path / "old.pt", {64: pair}, old=True), "old")
    assert hypernetwork.widths == (64,)


def test_several_act_one_after_the_other_in_the_order_of_the_prompt(model: LoadedModel, tmp_path: Path) -> None:
    torch.manual_seed(4)
    pairs = [(chain(32, [2, 1]), chain(32, [2, 1])) for _ in range(2)]
    files = [file_of(tmp_path / f"{n}.pt", {32: pair}, layer_structure=[1, 2, 1]) for n, pair in enumerate(pairs)]
    context = unet_inputs(LAYOUTS["SD1"])[0][2]
    networks = network_set()
    layer = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k"
    for order in ((0, 1), (1, 0)):
        networks.apply(model, [wanted(files[number], "hypernet", unet=0.5) for number in order])
        expected = context
        for number in order:
            expected = expected + 0.5 * pairs[number][0](expected)
        assert near(seen_by(model)[layer], expected)
    networks.apply(model, [])
    assert torch.equal(seen_by(model)[layer], context)


def test_widths_that_a_model_does_not_have_are_reported(model: LoadedModel, tmp_path: Path) -> None:
    pairs = {width: (chain(width, [2, 1]), chain(width, [2, 1])) for width in (32, 48)}
    file = file_of(tmp_path / "h.pt", pairs, layer_structure=[1, 2, 1])
    networks = network_set()
    (report,) = networks.apply(model, [wanted(file, "hypernet")])
    networks.clear(model)
    assert str(report) == "h: Hypernetwork, 1 of 2 widths used; not used: 48"


def test_what_contradicts_itself_is_refused_in_words(tmp_path: Path) -> None:
    pair = chain(32, [2, 1]), chain(32, [2, 1])
    with pytest.raises(BrokenModelFile, match=r"the network 32\.0 does not fit its description at linear\.0\.bias"):
        Hypernetwork(file_of(tmp_path / "a.pt", {32: pair}, layer_structure=[1, 3, 1]), "a")
    with pytest.raises(BrokenModelFile, match="gives 64 numbers for 32"):
        Hypernetwork(file_of(tmp_path / "b.pt", {32: pair}, layer_structure=[1, 2]), "b")
    flags = {"layer_structure": [1, 2, 1], "activation_func": "multiheadattention"}
    with pytest.raises(UnsupportedModel, match="activation 'multiheadattention' is not known"):
        Hypernetwork(file_of(tmp_path / "c.pt", {32: pair}, **flags), "c")
    with pytest.raises(BrokenModelFile, match="has no networks by width"):
        Hypernetwork(file_of(tmp_path / "d.pt", {}), "d")


class Sleeper:
    """What a hostile pickle would call."""

    def __reduce__(self) -> Any:
        return (exec, ("raise SystemExit",))


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    torch.save({32: Sleeper()}, tmp_path / "hostile.pt")
    with pytest.raises(UnsafeModelFile):
        Hypernetwork(tmp_path / "hostile.pt", "hostile")
