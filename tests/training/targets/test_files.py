"""Files that training writes act as what was trained did: in this program's own loader and in other readers."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.loaders import StableDiffusionLoraLoaderMixin
from diffusers.loaders.textual_inversion import load_textual_inversion_state_dicts
from lycoris.modules import LoConModule, get_module, make_module
from safetensors import safe_open
from safetensors.torch import load_file

from app.files import read_pickle
from app.files.hashes import addnet_hash
from app.language import BOS, EOS, Tokenizer
from app.models import LoadedModel, load_checkpoint
from app.networks import NetworkSet, Wanted, read_vectors
from app.training.targets import (
    EmbeddingSettings,
    EmbeddingTarget,
    HypernetworkSettings,
    HypernetworkTarget,
    LoraSettings,
    LoraTarget,
    Target,
    WeightsSettings,
    WeightsTarget,
    lora_layers,
)
from app.training.texts import Texts
from tests.models.checkpoints import tiny_layout
from tests.models.oracles import oracle_clip, oracle_unet
from tests.training.making import SMALL, answer_of, sha256, state_hash, stir, tiny

KINDS: dict[str, dict[str, Any]] = {
    "LoRA": {"text_factor": 1.0},
    "LoCon": {"conv_rank": 3, "conv_alpha": 1.0},
    "DoRA": {"conv_rank": 2},
    # LyCORIS 4.1 merges these two with the square of alpha / rank, and trains with alpha / rank: here that is 1.
    "LoHa": {"conv_rank": 2, "conv_alpha": 2.0, "alpha": 2.0},
    "LoKr": {"conv_rank": 1, "conv_alpha": 1.0, "factor": 4, "rank": 1},
}
TOLD = {"ss_steps": "12", "ss_sd_model_name": "base.safetensors", "ss_new_sd_model_hash": "0123456789abcdef"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return tiny(tmp_path_factory.mktemp("model"))


def lora(model: LoadedModel, kind: str) -> LoraTarget:
    settings = {"rank": 2, "alpha": 1.0, "dtype": torch.float32, **KINDS[kind]}
    learnt = LoraTarget(model, LoraSettings(kind=kind, **settings))
    stir(learnt, by=0.05)
    return learnt


def worn(model: LoadedModel, path: Path, kind: str) -> torch.Tensor:
    """The model's answer with a file on, as a prompt would put it on; then it is taken off again."""
    networks = NetworkSet(Tokenizer().encode)
    status = path.stat()
    reports = networks.apply(model, [Wanted(kind, path.stem, str(path), status.st_size, status.st_mtime_ns)])
    assert [report.matched for report in reports] == [report.total for report in reports]
    try:
        return answer_of(model)
    finally:
        networks.clear(model)


def exported(learnt: Target, model: LoadedModel, path: Path) -> torch.Tensor:
    """Writes the file and takes the target off; what the model answered with it."""
    model.vocabularies = learnt.vocabularies()
    answer = answer_of(model)
    learnt.export(path, TOLD)
    learnt.detach()
    model.vocabularies = ()
    return answer


@pytest.mark.parametrize("kind", KINDS)
def test_a_lora_acts_as_it_was_trained(model: LoadedModel, kind: str, tmp_path: Path) -> None:
    before, plain = state_hash(model), answer_of(model)
    answer = exported(lora(model, kind), model, tmp_path / "it.safetensors")
    torch.testing.assert_close(worn(model, tmp_path / "it.safetensors", "lora"), answer, rtol=1e-3, atol=2e-4)
    assert not torch.allclose(plain, answer, atol=1e-2)
    assert torch.equal(answer_of(model), plain)
    assert state_hash(model) == before


@pytest.mark.parametrize("family", ["SD2", "SDXL"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_lora_of_another_family_acts_as_it_was_trained(family: str, kind: str, tmp_path: Path) -> None:
    model = tiny(tmp_path, family)
    plain = answer_of(model)
    answer = exported(lora(model, kind), model, tmp_path / "it.safetensors")
    torch.testing.assert_close(worn(model, tmp_path / "it.safetensors", "lora"), answer, rtol=1e-3, atol=2e-4)
    assert not torch.allclose(plain, answer, atol=1e-2)


@pytest.mark.parametrize("conv_rank", [0, 3])
def test_diffusers_and_peft_read_the_lora(model: LoadedModel, conv_rank: int, tmp_path: Path) -> None:
    path = tmp_path / "it.safetensors"
    settings = LoraSettings(rank=2, alpha=1.0, dtype=torch.float32, conv_rank=conv_rank, conv_alpha=1.0)
    learnt = LoraTarget(model, settings)
    stir(learnt, by=0.05)
    answer = exported(learnt, model, path)
    state, alphas = StableDiffusionLoraLoaderMixin.lora_state_dict(str(path))[:2]
    assert model.file is not None
    unet = oracle_unet(Path(model.file.path), tiny_layout("SD1", **SMALL["SD1"]))
    StableDiffusionLoraLoaderMixin.load_lora_into_unet(state, alphas, unet)
    own, model.unet = model.unet, unet
    try:
        read = answer_of(model)
    finally:
        model.unet = own
    torch.testing.assert_close(read, answer, rtol=1e-3, atol=2e-4)


def test_diffusers_and_peft_read_the_loras_text_encoder(model: LoadedModel, tmp_path: Path) -> None:
    learnt = LoraTarget(model, LoraSettings(rank=2, alpha=1.0, dtype=torch.float32, text_factor=1.0))
    stir(learnt, by=0.1)
    words = "thing on a ground"
    with torch.no_grad():
        context = Texts(model, Tokenizer()).learning((words,), ()).context
        with learnt.untouched():
            plain = Texts(model, Tokenizer()).learning((words,), ()).context
    path = learnt.export(tmp_path / "it.safetensors", TOLD)
    learnt.detach()
    state, alphas = StableDiffusionLoraLoaderMixin.lora_state_dict(str(path))[:2]
    assert model.file is not None
    encoder = oracle_clip(Path(model.file.path), tiny_layout("SD1", **SMALL["SD1"]))
    StableDiffusionLoraLoaderMixin.load_lora_into_text_encoder(state, alphas, encoder, prefix="text_encoder")
    ids = [BOS, *Tokenizer().encode(words)]
    with torch.no_grad():
        read = encoder(torch.tensor([ids + [EOS] * (77 - len(ids))])).last_hidden_state
    torch.testing.assert_close(read, context, rtol=1e-3, atol=2e-4)
    assert not torch.allclose(plain, context, atol=1e-2)


def read_by_lycoris(state: dict[str, torch.Tensor], name: str, layer: Any, *, decomposed: bool) -> Any:
    """Its module of one layer. Its reader takes DoRA's magnitudes for those of outputs; A1111 and we mean inputs'."""
    if not decomposed:
        return make_module(*get_module(state, name), name, layer)
    up, down = state[f"{name}.lora_up.weight"], state[f"{name}.lora_down.weight"]
    alpha = float(state[f"{name}.alpha"])
    module = LoConModule(name, layer, 1.0, len(down), alpha, weight_decompose=True, wd_on_out=False)
    with torch.no_grad():
        module.lora_up.weight.copy_(up)
        module.lora_down.weight.copy_(down)
        module.dora_scale.copy_(state[f"{name}.dora_scale"])
    return module


@pytest.mark.parametrize("kind", KINDS)
def test_lycoris_makes_the_same_changes_of_the_file(model: LoadedModel, kind: str, tmp_path: Path) -> None:
    learnt = lora(model, kind)
    learnt.export(tmp_path / "it.safetensors", TOLD)
    places = {place.layer.name: place for place in learnt._places}
    learnt.detach()
    state = load_file(tmp_path / "it.safetensors")
    some = list(places)[::5]
    assert len(some) > 5
    for name in some:
        place = places[name]
        module = read_by_lycoris(state, name, place.layer.module, decomposed=kind == "DoRA")
        with torch.no_grad():
            theirs = module.get_diff_weight(1.0)[0] if kind != "DoRA" else module.get_merged_weight(1.0)[0]
            ours = learnt._change(place, place.layer.module.weight)
        ours = ours + place.layer.module.weight if kind == "DoRA" else ours
        torch.testing.assert_close(theirs.reshape(ours.shape).float(), ours, rtol=1e-4, atol=1e-5)


def test_a_loras_file_tells_what_kohyas_do(model: LoadedModel, tmp_path: Path) -> None:
    learnt = LoraTarget(model, LoraSettings(rank=2, alpha=1.0))
    path = learnt.export(tmp_path / "a.safetensors", {**TOLD, "modelspec.architecture": "stable-diffusion-v1/lora"})
    again = learnt.export(tmp_path / "b.safetensors", {**TOLD, "modelspec.architecture": "stable-diffusion-v1/lora"})
    learnt.detach()
    assert sha256(path) == sha256(again)
    with safe_open(path, "pt") as file:
        told = file.metadata()
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    assert told["sshs_model_hash"] == addnet_hash(path) == told["modelspec.hash_sha256"].removeprefix("0x")
    assert len(shapes) == 3 * len(list(lora_layers(model)))
    block = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    assert shapes[f"{block}.lora_down.weight"] == (2, 32)
    assert shapes[f"{block}.lora_up.weight"] == (32, 2)
    assert shapes[f"{block}.alpha"] == ()
    assert shapes["lora_unet_down_blocks_0_attentions_0_proj_in.lora_up.weight"] == (32, 2, 1, 1)
    assert load_file(path)[f"{block}.alpha"].item() == 1.0


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_an_embedding_acts_as_it_was_trained(model: LoadedModel, suffix: str, tmp_path: Path) -> None:
    settings = EmbeddingSettings("sks", 3, "purple circle", pickled=suffix == ".pt")
    learnt = EmbeddingTarget(model, settings, Tokenizer())
    assert learnt.suffix == suffix
    # Three vectors of two words: the first word's row, again, and the second's.
    ids = Tokenizer().encode("purple circle")
    table = model.text_encoders[0].token_embedding.weight
    assert torch.equal(learnt.parameters()["vectors.0"].detach(), table[[ids[0], ids[0], ids[1]]])
    stir(learnt, by=0.5)
    vectors = learnt.parameters()["vectors.0"].detach().clone()
    answer = exported(learnt, model, tmp_path / f"sks{suffix}")
    assert torch.equal(read_vectors(tmp_path / f"sks{suffix}")[0], vectors)
    assert torch.equal(worn(model, tmp_path / f"sks{suffix}", "embedding"), answer)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_diffusers_reads_the_embedding_and_transformers_reads_its_word_alike(
    model: LoadedModel, suffix: str, tmp_path: Path
) -> None:
    learnt = EmbeddingTarget(model, EmbeddingSettings("sks", 2, "purple", pickled=suffix == ".pt"), Tokenizer())
    stir(learnt, by=0.5)
    with torch.no_grad():
        ours = Texts(model, Tokenizer()).learning(("a sks house",), learnt.vocabularies()).context
    path = learnt.export(tmp_path / f"sks{suffix}", TOLD)
    learnt.detach()
    (state,) = load_textual_inversion_state_dicts([str(path)])
    vectors = state["string_to_param"]["*"] if "string_to_param" in state else next(iter(state.values()))
    encoder = deepcopy(model.text_encoders[0].module)
    first = encoder.get_input_embeddings().weight.shape[0]
    encoder.resize_token_embeddings(first + 2)
    encoder.get_input_embeddings().weight.data[first:] = vectors
    before, after = (Tokenizer().encode(word) for word in ("a", "house"))
    ids = [49406, *before, first, first + 1, *after]
    ids += [49407] * (77 - len(ids))
    with torch.no_grad():
        theirs = encoder(torch.tensor([ids])).last_hidden_state
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-5)


def test_diffusers_reads_the_checkpoint(model: LoadedModel, tmp_path: Path) -> None:
    learnt = WeightsTarget(model, WeightsSettings())
    stir(learnt, by=0.01)
    answer = exported(learnt, model, tmp_path / "out.safetensors")
    own = model.unet
    assert not torch.allclose(answer_of(model), answer, atol=1e-3)
    model.unet = oracle_unet(tmp_path / "out.safetensors", tiny_layout("SD1", **SMALL["SD1"]))
    try:
        torch.testing.assert_close(answer_of(model), answer, rtol=1e-3, atol=2e-4)
    finally:
        model.unet = own


def test_a1111s_embedding_holds_plain_values(model: LoadedModel, tmp_path: Path) -> None:
    learnt = EmbeddingTarget(model, EmbeddingSettings("sks", 2), Tokenizer())
    path = learnt.export(tmp_path / "sks.pt", TOLD)
    assert sha256(path) == sha256(learnt.export(tmp_path / "other.pt", TOLD))
    read = torch.load(path, weights_only=True)
    assert read["string_to_token"] == {"*": 265}
    assert torch.equal(read["string_to_param"]["*"], learnt.parameters()["vectors.0"])
    assert [read[key] for key in ("name", "step", "sd_checkpoint", "sd_checkpoint_name")] == [
        "sks", 12, "0123456789", "base.safetensors",
    ]  # fmt: skip
    assert read_pickle(path).skipped == ()


def test_sdxls_embedding_is_a_pair(tmp_path: Path) -> None:
    model = tiny(tmp_path, "SDXL")
    learnt = EmbeddingTarget(model, EmbeddingSettings("sks", 2, ""), Tokenizer())
    assert learnt.suffix == ".safetensors"
    stir(learnt, by=0.5)
    answer = exported(learnt, model, tmp_path / "sks.safetensors")
    stored = load_file(tmp_path / "sks.safetensors")
    assert {name: tuple(tensor.shape) for name, tensor in stored.items()} == {"clip_l": (2, 32), "clip_g": (2, 64)}
    assert torch.equal(worn(model, tmp_path / "sks.safetensors", "embedding"), answer)


@pytest.mark.parametrize(
    "settings",
    [
        {"widths": (32, 64)},
        {"widths": (64, 9), "structure": (1, 2, 2, 1), "activation": "swish", "layer_norm": True},
        {"widths": (32,), "activation": "relu", "weight_init": "KaimingNormal", "dropout": (0, 0.3, 0)},
        {"widths": (32,), "structure": (1, 0.5, 1), "weight_init": "XavierUniform"},
    ],
)
def test_a_hypernetwork_acts_as_it_was_trained(model: LoadedModel, settings: dict[str, Any], tmp_path: Path) -> None:
    learnt = HypernetworkTarget(model, HypernetworkSettings("it", **settings))
    stir(learnt, by=0.05)
    answer = exported(learnt, model, tmp_path / "it.pt")
    torch.testing.assert_close(worn(model, tmp_path / "it.pt", "hypernet"), answer, rtol=1e-4, atol=1e-5)
    read = torch.load(tmp_path / "it.pt", weights_only=True)
    assert (read["step"], read["name"], read["sd_checkpoint"]) == (12, "it", "0123456789")
    width = settings["widths"][0]
    assert "linear.0.weight" in read[width][0]
    assert read[width][1]["linear.0.bias"].dtype == torch.float32


@pytest.mark.parametrize("layer_norm", [False, True])
def test_zero_begins_as_no_change_at_all(model: LoadedModel, layer_norm: bool) -> None:
    plain = answer_of(model)
    learnt = HypernetworkTarget(model, HypernetworkSettings("h", (32, 64), weight_init="Zero", layer_norm=layer_norm))
    assert torch.equal(answer_of(model), plain)
    learnt.detach()


@pytest.mark.parametrize("family", ["SD1", "SDXL"])
def test_a_checkpoint_keeps_what_was_not_trained_byte_for_byte(family: str, tmp_path: Path) -> None:
    model = tiny(tmp_path, family, metadata={"easel.config": json.dumps({"width": 64})})
    assert model.file is not None
    model.prediction_type = "v"
    learnt = WeightsTarget(model, WeightsSettings())
    stir(learnt, by=0.01)
    answer = answer_of(model)
    learnt.export(tmp_path / "out.safetensors", {"modelspec.title": "mine"})
    learnt.detach()
    base, made = load_file(model.file.path), load_file(tmp_path / "out.safetensors")
    assert made.keys() - base.keys() == {"v_pred"}
    for name, tensor in base.items():
        assert made[name].dtype == tensor.dtype
        assert made[name].shape == tensor.shape
        assert torch.equal(made[name], tensor) != name.startswith("model.diffusion_model."), name
    again = load_checkpoint(tmp_path / "out.safetensors")
    assert again.metadata["modelspec.title"] == "mine"
    assert (again.prediction_type, again.recommended.width) == ("v", 64)
    torch.testing.assert_close(answer_of(again), answer, rtol=1e-4, atol=1e-5)


def test_a_checkpoint_in_half_precision_and_with_its_text_encoder(model: LoadedModel, tmp_path: Path) -> None:
    learnt = WeightsTarget(model, WeightsSettings(text_factor=1.0, dtype=torch.float16))
    stir(learnt, by=0.01)
    expected = {name: tensor.detach().half() for name, tensor in learnt.parameters().items()}
    learnt.export(tmp_path / "out.safetensors", {})
    learnt.detach()
    again = dict(load_checkpoint(tmp_path / "out.safetensors").weights())
    assert all(torch.equal(again[name].half(), tensor) for name, tensor in expected.items())
    assert len(expected) == len(again)
