"""Each LyCORIS type changes weights as the library that trains it does, within float32 rounding."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from lycoris.modules import (
    ButterflyOFTModule,
    DiagOFTModule,
    FullModule,
    GLoRAModule,
    IA3Module,
    LoConModule,
    LohaModule,
    LokrModule,
    NormModule,
)
from torch import Tensor, nn

from app.models import LoadedModel
from tests.networks.making import (
    kohya,
    layers,
    near,
    network_set,
    saved,
    some,
    state_hash,
    tiny_model,
    wanted,
    weights_of,
)

TYPES: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "LoRA": (LoConModule, {}),
    "LoRA with a Tucker core": (LoConModule, {"use_tucker": True}),
    "DoRA by output": (LoConModule, {"weight_decompose": True}),
    "DoRA by input": (LoConModule, {"weight_decompose": True, "wd_on_out": False}),
    # LyCORIS 4.1 merges LoHa and LoKr with the square of alpha / rank, and trains with alpha / rank: here that is 1.
    "LoHa": (LohaModule, {"alpha": 4.0}),
    "LoHa with Tucker cores": (LohaModule, {"use_tucker": True, "alpha": 4.0}),
    "LoHa with DoRA": (LohaModule, {"weight_decompose": True, "alpha": 4.0}),
    "LoKr with a whole w1": (LokrModule, {"factor": 4, "alpha": 4.0}),
    "LoKr with both whole": (LokrModule, {"factor": 4, "full_matrix": True}),
    "LoKr with both divided": (LokrModule, {"factor": 8, "decompose_both": True, "lora_dim": 2, "alpha": 2.0}),
    "LoKr with a Tucker core": (LokrModule, {"factor": 4, "use_tucker": True, "alpha": 4.0}),
    "LoKr with DoRA": (LokrModule, {"factor": 4, "weight_decompose": True, "alpha": 4.0}),
    "full": (FullModule, {}),
    "OFT": (DiagOFTModule, {}),
    "OFT with a limit": (DiagOFTModule, {"constraint": 0.001}),
    "OFT rescaled": (DiagOFTModule, {"rescaled": True}),
    "BOFT": (ButterflyOFTModule, {}),
    "BOFT with a limit, rescaled": (ButterflyOFTModule, {"constraint": 0.01, "rescaled": True}),
    "GLoRA": (GLoRAModule, {}),
    "IA3 on outputs": (IA3Module, {}),
    "IA3 on inputs": (IA3Module, {"train_on_input": True}),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return tiny_model(tmp_path_factory.mktemp("types"))


def trained(kind: type[Any], options: dict[str, Any], layer: nn.Module, seed: int) -> Any:
    """A module of the library on a copy of the layer, with random numbers in all its parameters."""
    generator = torch.Generator().manual_seed(seed)
    module = kind("x", deepcopy(layer).float().requires_grad_(False), 1.0, **{"lora_dim": 4, "alpha": 2.0, **options})
    if kind is FullModule:
        module.apply_to()  # from here on its parameters are weights, no differences
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name == "dora_scale":
                parameter.mul_(1 + 0.1 * torch.rand(parameter.shape, generator=generator))
            elif name == "rescale":
                parameter.copy_(1 + 0.1 * torch.rand(parameter.shape, generator=generator))
            elif not name.startswith("org"):
                parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    return module


def of_lycoris(
    kind: type[Any], options: dict[str, Any], chosen: dict[str, nn.Module]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The tensors of a file, and the weights that the library makes with it, by path."""
    tensors, expected = {}, {}
    for seed, (path, layer) in enumerate(chosen.items()):
        module = trained(kind, options, layer, seed)
        tensors |= {f"{kohya(path)}.{name}": tensor.detach().clone() for name, tensor in module.state_dict().items()}
        with torch.no_grad():
            weight, bias = module.get_merged_weight(1.0, shape=layer.weight.shape)
        expected[f"{path}.weight"] = weight.reshape(layer.weight.shape)
        if bias is not None and layer.bias is not None:
            expected[f"{path}.bias"] = bias
    return tensors, expected


@pytest.mark.parametrize("name", TYPES)
def test_a_type_changes_weights_as_lycoris_does(name: str, model: LoadedModel, tmp_path: Path) -> None:
    kind, options = TYPES[name]
    chosen = {path: layer for path, layer in layers(model).items() if path in some(layers(model))}
    tensors, expected = of_lycoris(kind, options, chosen)
    file = saved(tmp_path / "network.safetensors", tensors)
    before, untouched = state_hash(model), weights_of(model)
    networks = network_set()

    (report,) = networks.apply(model, [wanted(file)])

    assert (report.matched, report.total, report.unmatched) == (len(chosen), len(chosen), ())
    after = weights_of(model)
    for path, tensor in after.items():
        assert near(tensor, expected.get(path, untouched[path])), path
    assert {path for path in after if not torch.equal(after[path], untouched[path])} == expected.keys()
    networks.apply(model, [])
    assert state_hash(model) == before


def test_loha_is_scaled_by_alpha_over_rank_as_it_was_trained(model: LoadedModel, tmp_path: Path) -> None:
    path = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    layer = layers(model)[path]
    module = trained(LohaModule, {"alpha": 1.0}, layer, 3)
    tensors = {f"{kohya(path)}.{name}": tensor.detach() for name, tensor in module.state_dict().items()}
    trained_with = layer.weight + module.get_weight(layer.weight.shape).detach()
    networks = network_set()
    networks.apply(model, [wanted(saved(tmp_path / "loha.safetensors", tensors))])
    assert near(layer.weight, trained_with)
    networks.clear(model)


def test_norms_change_as_lycoris_does(model: LoadedModel, tmp_path: Path) -> None:
    name = "down_blocks.0.attentions.0.transformer_blocks.0.norm1"
    layer = model.unet.get_submodule(name)
    module = NormModule("x", deepcopy(layer).float(), 1.0)
    with torch.no_grad():
        module.w_norm.copy_(torch.randn(module.w_norm.shape))
        module.b_norm.copy_(torch.randn(module.b_norm.shape))
        weight, bias = module.get_merged_weight(1.0)
    tensors = {f"{kohya(f'unet.{name}')}.{part}": tensor.detach() for part, tensor in module.state_dict().items()}
    networks = network_set()
    before = state_hash(model)

    (report,) = networks.apply(model, [wanted(saved(tmp_path / "norm.safetensors", tensors))])

    assert str(report) == "norm: Norm, 1 of 1 layers used"
    assert near(layer.weight, weight)
    assert near(layer.bias, bias)
    networks.clear(model)
    assert state_hash(model) == before


def test_a_strength_scales_the_finished_change_as_a1111_does(model: LoadedModel, tmp_path: Path) -> None:
    """DoRA included: A1111 takes the difference of the decomposed weight and multiplies that (a1111-facts 6.4)."""
    chosen = {path: layer for path, layer in layers(model).items() if path.endswith("0.resnets.0.conv1")}
    tensors, expected = of_lycoris(LoConModule, {"weight_decompose": True}, chosen)
    file = saved(tmp_path / "dora.safetensors", tensors)
    untouched = weights_of(model)
    networks = network_set()
    networks.apply(model, [wanted(file, unet=0.25)])
    after = weights_of(model)
    networks.clear(model)
    for path, whole in expected.items():
        assert near(after[path], untouched[path] + 0.25 * (whole - untouched[path]))


def test_old_files_of_glora_and_oft_are_read_by_their_own_conventions(model: LoadedModel, tmp_path: Path) -> None:
    path = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    width = layers(model)[path].weight.shape[0]
    a1, a2, b1, b2 = (torch.randn(shape) for shape in ((4, width), (width, 4), (4, width), (width, 4)))
    turns = torch.linalg.qr(torch.randn(width // 4, 4, 4)).Q
    second = path.replace("attn1", "attn2")
    tensors = {f"{kohya(path)}.{n}.weight": t for n, t in {"a1": a1, "a2": a2, "b1": b1, "b2": b2}.items()}
    tensors[f"{kohya(second).replace('lora_', 'oft_')}.oft_diag"] = turns
    untouched = weights_of(model)
    networks = network_set()
    networks.apply(model, [wanted(saved(tmp_path / "old.safetensors", tensors))])
    after = weights_of(model)
    networks.clear(model)
    weight, turned = untouched[f"{path}.weight"], untouched[f"{second}.weight"]
    assert near(after[f"{path}.weight"], weight + b2 @ b1 + weight @ a2 @ a1)
    assert near(after[f"{second}.weight"], torch.block_diag(*turns).T @ turned)
