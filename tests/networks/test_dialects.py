"""One LoRA in the words of every program changes the same weights in the same way, on SD1, SD2 and SDXL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, OFTConfig, get_peft_model
from peft.utils import get_peft_model_state_dict
from torch import Tensor, nn

from app.models import LoadedModel
from tests.networks.making import (
    kohya,
    layers,
    low_rank,
    near,
    network_set,
    original_names,
    saved,
    state_hash,
    tiny_model,
    wanted,
    weights_of,
)

RANK = 4
FAMILIES = ("SD1", "SD2", "SDXL")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dialects")


@pytest.fixture(scope="module")
def models(folder: Path) -> dict[str, LoadedModel]:
    return {family: tiny_model(folder, family) for family in FAMILIES}


Pairs = dict[str, tuple[Tensor, Tensor]]


def pairs(model: LoadedModel) -> Pairs:
    """down and up for every layer of the model, convolutions included."""
    return {path: low_rank(layer, RANK, seed) for seed, (path, layer) in enumerate(layers(model).items())}


def assert_all_changed(model: LoadedModel, file: Path, chosen: Pairs, scale: float) -> None:
    """The file changes exactly the chosen layers, each by scale * up @ down, and leaves no trace."""
    before, untouched = state_hash(model), weights_of(model)
    networks = network_set()
    (report,) = networks.apply(model, [wanted(file)])
    assert (report.matched, report.total, report.unmatched) == (len(chosen), len(chosen), ())
    for path, tensor in weights_of(model).items():
        expected = untouched[path]
        if path.removesuffix(".weight") in chosen:
            down, up = chosen[path.removesuffix(".weight")]
            expected = expected + scale * (up.flatten(1) @ down.flatten(1)).reshape(expected.shape)
        assert near(tensor, expected), path
    networks.clear(model)
    assert state_hash(model) == before


def in_words(chosen: Pairs, name: Callable[[str], str], down: str, up: str) -> dict[str, Tensor]:
    tensors = {f"{name(path)}{down}": pair[0] for path, pair in chosen.items()}
    return tensors | {f"{name(path)}{up}": pair[1] for path, pair in chosen.items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_kohyas_names_in_the_words_of_diffusers(family: str, models: dict[str, LoadedModel], tmp_path: Path) -> None:
    model = models[family]
    chosen = pairs(model)

    def name(path: str) -> str:
        return kohya(path, numbered=family == "SDXL")

    tensors = in_words(chosen, name, ".lora_down.weight", ".lora_up.weight")
    tensors |= {f"{name(path)}.alpha": torch.tensor(1.0) for path in chosen}
    assert_all_changed(model, saved(tmp_path / "lora.safetensors", tensors), chosen, 1 / RANK)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dotted", [False, True])
def test_names_in_the_words_of_the_original_files(
    family: str, dotted: bool, folder: Path, models: dict[str, LoadedModel], tmp_path: Path
) -> None:
    """As kohya names SDXL's ('lora_unet_input_blocks_4_1_...'), and as they stand in checkpoints."""
    original = original_names(folder / f"{family}.safetensors", family)
    chosen = {path: pair for path, pair in pairs(models[family]).items() if path.startswith("unet.")}

    def name(path: str) -> str:
        return f"model.diffusion_model.{original[path]}" if dotted else "lora_unet_" + original[path].replace(".", "_")

    tensors = in_words(chosen, name, ".lora_down.weight", ".lora_up.weight")
    assert_all_changed(models[family], saved(tmp_path / "lora.safetensors", tensors), chosen, 1.0)


def of_diffusers(path: str) -> str:
    part, _, name = path.partition(".")
    if part == "unet":
        return path
    number, _, name = name.partition(".")
    return f"text_encoder{'' if number == '0' else '_2'}.{name}"


@pytest.mark.parametrize(
    ("down", "up"),
    [
        (".lora_A.weight", ".lora_B.weight"),
        (".lora_A.default.weight", ".lora_B.default.weight"),
        (".lora.down.weight", ".lora.up.weight"),
        (".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight"),
    ],
)
def test_diffusers_names(down: str, up: str, models: dict[str, LoadedModel], tmp_path: Path) -> None:
    chosen = pairs(models["SDXL"])
    tensors = in_words(chosen, of_diffusers, down, up)
    assert_all_changed(models["SDXL"], saved(tmp_path / "lora.safetensors", tensors), chosen, 1.0)


@pytest.mark.parametrize("prefix", ["unet.", ""])
def test_diffusers_attention_processors_of_old(prefix: str, models: dict[str, LoadedModel], tmp_path: Path) -> None:
    ends = {"to_q": "to_q", "to_k": "to_k", "to_v": "to_v", "to_out.0": "to_out"}
    model = models["SD1"]
    chosen = {
        path: pair
        for path, pair in pairs(model).items()
        if path.startswith("unet.") and ".attn" in path and path.endswith(tuple(ends))
    }

    def name(path: str) -> str:
        block, _, layer = path.removeprefix("unet.").partition(".attn")
        return f"{prefix}{block}.attn{layer[0]}.processor.{ends[layer[2:]]}_lora"

    tensors = in_words(chosen, name, ".down.weight", ".up.weight")
    assert_all_changed(model, saved(tmp_path / "lora.safetensors", tensors), chosen, 1.0)


def test_pefts_names_without_the_text_model_level_of_old_transformers(
    models: dict[str, LoadedModel], tmp_path: Path
) -> None:
    chosen = pairs(models["SD1"])

    def name(path: str) -> str:
        inner = path.removeprefix("unet.").removeprefix("text_encoders.0.").removeprefix("text_model.")
        return f"base_model.model.{inner}"

    tensors = in_words(chosen, name, ".lora_A.weight", ".lora_B.weight")
    assert_all_changed(models["SD1"], saved(tmp_path / "lora.safetensors", tensors), chosen, 1.0)


@pytest.mark.parametrize("family", ["SD2", "SDXL"])
def test_query_key_and_value_stacked_as_openclip_has_them(
    family: str, models: dict[str, LoadedModel], tmp_path: Path
) -> None:
    model = models[family]
    number = len(model.text_encoders) - 1
    width = model.text_encoders[number].facts.width
    down, up = torch.randn(RANK, width), torch.randn(3 * width, RANK)
    prefix = {"SD2": "cond_stage_model.model", "SDXL": "conditioner.embedders.1.model"}[family]
    name = f"{prefix}.transformer.resblocks.1.attn.in_proj"
    file = saved(tmp_path / "stacked.safetensors", {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up})
    before, untouched = state_hash(model), weights_of(model)
    networks = network_set()
    (report,) = networks.apply(model, [wanted(file, text=0.5)])
    assert (report.matched, report.total) == (1, 1)
    after = weights_of(model)
    for place, part in enumerate(("q_proj", "k_proj", "v_proj")):
        path = f"text_encoders.{number}.text_model.encoder.layers.1.self_attn.{part}.weight"
        third = up[place * width : (place + 1) * width]
        assert near(after[path], untouched[path] + 0.5 * third @ down)
    networks.clear(model)
    assert state_hash(model) == before


def peft_deltas(model: LoadedModel, use_dora: bool) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
    """PEFT on a copy of the U-Net: the tensors it saves, and the merged weights by path."""
    config = LoraConfig(r=RANK, lora_alpha=RANK, target_modules=["to_q", "conv1", "ff.net.2"], use_dora=use_dora)
    unet = get_peft_model(deepcopy(model.unet), config)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in unet.named_parameters():
            if "lora_B" in name or "lora_A" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
            elif "magnitude" in name:
                parameter.mul_(1 + 0.2 * torch.rand(parameter.shape, generator=generator))
    state = {name: tensor.detach().clone() for name, tensor in get_peft_model_state_dict(unet).items()}
    merged = unet.merge_and_unload()
    return state, {f"unet.{name}": tensor.detach() for name, tensor in merged.named_parameters()}


@pytest.mark.parametrize("use_dora", [False, True])
def test_a_file_that_peft_saves_gives_the_weights_that_peft_merges(
    use_dora: bool, models: dict[str, LoadedModel], tmp_path: Path
) -> None:
    model = models["SD1"]
    state, expected = peft_deltas(model, use_dora)
    before = state_hash(model)
    networks = network_set()
    (report,) = networks.apply(model, [wanted(saved(tmp_path / "peft.safetensors", state))])
    assert not report.unmatched
    assert report.type == ("DoRA LoCon" if use_dora else "LoCon")
    for path, tensor in weights_of(model).items():
        if path in expected:
            assert near(tensor, expected[path].reshape(tensor.shape)), path
    networks.clear(model)
    assert state_hash(model) == before


def test_pefts_oft_turns_weights_as_peft_does(models: dict[str, LoadedModel], tmp_path: Path) -> None:
    model = models["SD1"]
    unet = get_peft_model(deepcopy(model.unet), OFTConfig(oft_block_size=8, r=0, target_modules=["to_q", "to_v"]))
    with torch.no_grad():
        for name, parameter in unet.named_parameters():
            if "oft_R" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.02)
    state = {name: tensor.detach().clone() for name, tensor in get_peft_model_state_dict(unet).items()}
    expected = {f"unet.{name}": tensor.detach() for name, tensor in unet.merge_and_unload().named_parameters()}
    networks = network_set()
    (report,) = networks.apply(model, [wanted(saved(tmp_path / "oft.safetensors", state))])
    assert not report.unmatched
    for path, tensor in weights_of(model).items():
        if path in expected:
            assert near(tensor, expected[path]), path
    networks.clear(model)


def test_a_lora_for_four_channels_leaves_an_inpainting_models_other_five_alone(tmp_path: Path) -> None:
    model = tiny_model(tmp_path, "SD1", in_channels=9)
    weight = model.unet.conv_in.weight
    down, up = low_rank(nn.Conv2d(4, weight.shape[0], 3), RANK, 1)
    names = {"lora_unet_conv_in.lora_down.weight": down, "lora_unet_conv_in.lora_up.weight": up}
    untouched, before = weight.detach().clone(), state_hash(model)
    networks = network_set()
    (report,) = networks.apply(model, [wanted(saved(tmp_path / "lora.safetensors", names))])
    assert report.matched == 1
    change = (up.flatten(1) @ down.flatten(1)).reshape(-1, 4, 3, 3)
    assert near(weight[:, :4], untouched[:, :4] + change)
    assert torch.equal(weight[:, 4:], untouched[:, 4:])
    networks.clear(model)
    assert state_hash(model) == before


def test_alpha_that_diffusers_writes_beside_the_tensors_counts(models: dict[str, LoadedModel], tmp_path: Path) -> None:
    model = models["SD1"]
    path = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    down, up = low_rank(layers(model)[path], RANK, 1)
    said = {"lora_adapter_metadata": '{"unet.lora_alpha": 8, "unet.r": 4, "unet.use_rslora": false}'}
    tensors = {f"{path}.lora_A.weight": down, f"{path}.lora_B.weight": up}
    untouched = weights_of(model)[f"{path}.weight"]
    networks = network_set()
    networks.apply(model, [wanted(saved(tmp_path / "lora.safetensors", tensors, said))])
    assert near(weights_of(model)[f"{path}.weight"], untouched + 2 * up @ down)
    networks.clear(model)


def test_what_fits_nothing_is_named(models: dict[str, LoadedModel], tmp_path: Path) -> None:
    path = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    down, up = low_rank(layers(models["SD1"])[path], RANK, 1)
    tensors = {
        f"{kohya(path)}.lora_down.weight": down,
        f"{kohya(path)}.lora_up.weight": up,
        "lora_unet_no_such_layer.lora_down.weight": down.clone(),
        "lora_unet_no_such_layer.lora_up.weight": up.clone(),
        f"{kohya(path).replace('to_q', 'to_k')}.lora_down.weight": torch.zeros(RANK, 7),
        f"{kohya(path).replace('to_q', 'to_k')}.lora_up.weight": up.clone(),
        "something.else": torch.zeros(1),
    }
    networks = network_set()
    (report,) = networks.apply(models["SD1"], [wanted(saved(tmp_path / "odd.safetensors", tensors))])
    networks.clear(models["SD1"])
    assert (report.matched, report.total) == (1, 4)
    assert set(report.unmatched) == {
        "lora_unet_no_such_layer",
        kohya(path).replace("to_q", "to_k"),
        "something.else",
    }
    assert str(report).startswith("odd: LoRA, 1 of 4 layers used; not used: ")


def test_parts_of_impossible_shapes_fit_nothing_and_break_nothing(
    models: dict[str, LoadedModel], tmp_path: Path
) -> None:
    """Every part of every type, as a number, as an empty tensor, as a row, as a block."""
    groups = (
        ("lora_down.weight", "lora_up.weight"),
        ("lora_down.weight", "lora_up.weight", "lora_mid.weight", "alpha"),
        ("lora_down.weight", "lora_up.weight", "dora_scale"),
        ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2"),
        ("lokr_w1", "lokr_w2"),
        ("lokr_w1_a", "lokr_w1_b", "lokr_w2_a", "lokr_w2_b", "lokr_t2", "alpha"),
        ("a1.weight", "a2.weight", "b1.weight", "b2.weight", "alpha"),
        ("oft_blocks", "rescale", "alpha"),
        ("oft_diag",),
        ("oft_R.weight",),
        ("weight", "on_input"),
        ("diff", "diff_b"),
        ("w_norm", "b_norm"),
    )
    paths = iter(layers(models["SD1"]))
    tensors: dict[str, Tensor] = {}
    names = []
    for shape in ((), (0,), (0, 3), (3,), (2, 0, 5), (1, 1, 1, 1, 1)):
        for group in groups:
            name = kohya(next(paths))
            names.append(name)
            tensors |= {f"{name}.{part}": torch.zeros(shape) for part in group}
    before = state_hash(models["SD1"])
    networks = network_set()
    (report,) = networks.apply(models["SD1"], [wanted(saved(tmp_path / "odd.safetensors", tensors))])
    assert (report.matched, set(report.unmatched)) == (0, set(names))
    assert state_hash(models["SD1"]) == before
