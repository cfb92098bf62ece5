"""Checkpoints of every family load into what diffusers' and transformers' own classes make of the same file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from app.files import read_header
from app.models import LoadedModel, Precision, load_checkpoint, load_vae, write_checkpoint
from app.schema.errors import BrokenModelFile, ModelNotFound, UnsupportedModel
from tests.models.checkpoints import LAYOUTS, tiny_layout, write_tiny_checkpoint
from tests.models.oracles import (
    near,
    oracle_clip,
    oracle_sd2_text,
    oracle_sdxl_text,
    oracle_unet,
    oracle_vae,
    unet_inputs,
)

FAMILIES = tuple(LAYOUTS)
BF16 = Precision(torch.bfloat16, torch.bfloat16, torch.bfloat16)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    return {family: write_tiny_checkpoint(folder / f"{family}.safetensors", family) for family in FAMILIES}


@pytest.fixture(scope="module")
def models(files: dict[str, Path]) -> dict[str, LoadedModel]:
    return {family: load_checkpoint(path) for family, path in files.items()}


@pytest.mark.parametrize("family", FAMILIES)
@torch.inference_mode()
def test_the_unet_answers_as_diffusers_does(
    family: str, files: dict[str, Path], models: dict[str, LoadedModel]
) -> None:
    arguments, added = unet_inputs(LAYOUTS[family])
    theirs = oracle_unet(files[family], LAYOUTS[family])(*arguments, **added, return_dict=False)[0]
    ours = models[family].unet(*arguments, **added, return_dict=False)[0]
    assert near(ours, theirs)


@pytest.mark.parametrize("family", ["SD1", "SDXL"])
@torch.inference_mode()
def test_the_vae_encodes_and_decodes_as_diffusers_does(
    family: str, files: dict[str, Path], models: dict[str, LoadedModel]
) -> None:
    theirs, ours = oracle_vae(files[family], LAYOUTS[family]), models[family].vae
    factor = {"SD1": 0.18215, "SDXL": 0.13025}[family]
    picture = torch.rand(1, 3, 64, 96) * 2 - 1
    latent = torch.randn(2, 4, 8, 12)
    assert near(ours.encode(picture), theirs.encode(picture).latent_dist.mean * factor)
    assert near(ours.decode(latent), theirs.decode(latent / factor).sample)


TOKENS = torch.tensor([[49406, 320, 1125, 49407] + [49407] * 73, [49406, 5, 6, 7, 8, 49407] + [49407] * 71])
ENDS = torch.tensor([3, 5])


@torch.inference_mode()
def test_sd1_reads_clips_last_state_and_clip_skip_an_earlier_one(
    files: dict[str, Path], models: dict[str, LoadedModel]
) -> None:
    encoder = models["SD1"].text_encoders[0]
    theirs = oracle_clip(files["SD1"], LAYOUTS["SD1"])
    answer = theirs(TOKENS, output_hidden_states=True)
    vectors = encoder.token_embedding(TOKENS)
    assert near(encoder.encode(vectors).hidden, answer.last_hidden_state)
    skipped = theirs.final_layer_norm(answer.hidden_states[-2])
    assert near(encoder.encode(vectors, clip_skip=2).hidden, skipped)
    assert encoder.encode(vectors).pooled is None
    assert not near(skipped, answer.last_hidden_state)


@torch.inference_mode()
def test_sd2_reads_the_state_before_the_last_layer_through_the_final_norm(
    files: dict[str, Path], models: dict[str, LoadedModel]
) -> None:
    encoder = models["SD2"].text_encoders[0]
    theirs = oracle_sd2_text(files["SD2"], LAYOUTS["SD2"])(TOKENS).last_hidden_state
    vectors = encoder.token_embedding(TOKENS)
    assert near(encoder.encode(vectors).hidden, theirs)
    assert near(encoder.encode(vectors, clip_skip=2).hidden, theirs)


@torch.inference_mode()
def test_sdxl_reads_two_encoders_before_their_last_layer_and_a_pooled_vector(
    files: dict[str, Path], models: dict[str, LoadedModel]
) -> None:
    layout, (first, second) = LAYOUTS["SDXL"], models["SDXL"].text_encoders
    clip = oracle_clip(files["SDXL"], layout)
    theirs = clip(TOKENS, output_hidden_states=True).hidden_states[-2]
    assert near(first.encode(first.token_embedding(TOKENS)).hidden, theirs)
    open_clip = oracle_sdxl_text(files["SDXL"], layout, "conditioner.embedders.1.model.")
    answer = open_clip(TOKENS, output_hidden_states=True)
    encoded = second.encode(second.token_embedding(TOKENS), ENDS)
    assert near(encoded.hidden, answer.hidden_states[-2])
    assert encoded.pooled is not None
    assert near(encoded.pooled, answer.text_embeds)
    with pytest.raises(ValueError, match="end tokens"):
        second.encode(second.token_embedding(TOKENS))


def test_the_facts_are_the_families_with_the_files_own_widths(models: dict[str, LoadedModel]) -> None:
    assert [model.family.name for model in models.values()] == list(FAMILIES)
    assert [model.recommended[:2] for model in models.values()] == [(512, 512), (512, 512), (1024, 1024), (1024, 1024)]
    assert [model.family.context_width for model in models.values()] == [32, 32, 64, 32]
    assert [model.family.pooled_width for model in models.values()] == [0, 0, 32, 32]
    assert [model.prediction_type for model in models.values()] == ["epsilon"] * 4
    assert [facts.facts.pad_token for facts in models["SDXL"].text_encoders] == [49407, 0]
    assert all(model.report == () for model in models.values())


def test_an_inpainting_file_has_nine_channels(tmp_path: Path) -> None:
    path = write_tiny_checkpoint(tmp_path / "inpainting.safetensors", in_channels=9)
    model = load_checkpoint(path)
    arguments, _ = unet_inputs(tiny_layout(in_channels=9))
    with torch.inference_mode():
        theirs = oracle_unet(path, tiny_layout(in_channels=9))(*arguments, return_dict=False)[0]
        assert near(model.unet(*arguments, return_dict=False)[0], theirs)
    assert model.unet.config.in_channels == 9


def test_what_shapes_cannot_say_comes_from_the_metadata(tmp_path: Path) -> None:
    widths = {"channels": (32, 64, 96, 96), "vae_channels": (16, 16, 32, 32), "text_width": 64}
    layout = tiny_layout(**widths, heads=4, groups=8, text_heads=4)
    path = write_tiny_checkpoint(
        tmp_path / "starter.safetensors", **widths, heads=4, groups=8, text_heads=4, markers=("v_pred", "ztsnr"),
        extra={"width": 128, "height": 192, "steps": 20, "cfg_scale": 4.5, "sampler": "Euler a",
               "preview_factors": [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]},
    )  # fmt: skip
    model = load_checkpoint(path)
    arguments, _ = unet_inputs(layout)
    picture = torch.rand(1, 3, 32, 32) * 2 - 1
    with torch.inference_mode():
        theirs = oracle_unet(path, layout)(*arguments, return_dict=False)[0]
        assert near(model.unet(*arguments, return_dict=False)[0], theirs)
        assert near(model.vae.encode(picture), oracle_vae(path, layout).encode(picture).latent_dist.mean * 0.18215)
        encoder = model.text_encoders[0]
        answer = oracle_clip(path, layout)(TOKENS).last_hidden_state
        assert near(encoder.encode(encoder.token_embedding(TOKENS)).hidden, answer)
    assert model.recommended == (128, 192, 20, 4.5, "Euler a")
    assert model.preview == ((1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0), (0, 0, 0))
    assert model.prediction_type == "v"
    assert float(model.sigmas[-1]) == pytest.approx(4518.76, rel=1e-4)


@torch.inference_mode()
def test_one_residual_block_a_level_is_as_good_as_two(tmp_path: Path) -> None:
    path = write_tiny_checkpoint(tmp_path / "thin.safetensors", layers=1)
    arguments, _ = unet_inputs(tiny_layout(layers=1))
    theirs = oracle_unet(path, tiny_layout(layers=1))(*arguments, return_dict=False)[0]
    assert near(load_checkpoint(path).unet(*arguments, return_dict=False)[0], theirs)


def test_a_pruned_unet_in_ssd_1bs_manner_loads_whole(tmp_path: Path) -> None:
    """No attention in the middle, other depths on the way up than on the way down."""
    path = write_tiny_checkpoint(
        tmp_path / "ssd.safetensors", "SDXL", middle_depth=None, up_depths=((2, 2, 3), (2, 1, 1), (0, 0, 0))
    )
    model = load_checkpoint(path)
    depths = [[len(a.transformer_blocks) for a in block.attentions] for block in model.unet.up_blocks[:2]]
    assert depths == [[2, 2, 3], [2, 1, 1]]
    assert len(model.unet.mid_block.resnets) == 1
    assert model.report == ()
    arguments, added = unet_inputs(LAYOUTS["SDXL"])
    with torch.inference_mode():
        assert model.unet(*arguments, **added, return_dict=False)[0].shape == (2, 4, 16, 16)


def test_weights_stored_in_eight_bits_are_widened(tmp_path: Path) -> None:
    path = write_tiny_checkpoint(tmp_path / "fp8.safetensors", dtype=torch.float8_e4m3fn)
    stored = load_file(path)["model.diffusion_model.out.2.weight"]
    assert torch.equal(load_checkpoint(path).unet.conv_out.weight, stored.float())


def test_without_metadata_a_group_count_that_cannot_be_right_is_refused(tmp_path: Path) -> None:
    path = write_tiny_checkpoint(tmp_path / "odd.safetensors", channels=(32, 48, 64, 64))
    with pytest.raises(BrokenModelFile, match="do not divide into 32 groups"):
        load_checkpoint(path)


@pytest.mark.parametrize("family", FAMILIES)
def test_file_to_model_to_file_keeps_every_tensor_bit_for_bit(
    family: str, files: dict[str, Path], models: dict[str, LoadedModel], tmp_path: Path
) -> None:
    model, original = models[family], load_file(files[family])
    path = write_checkpoint(
        tmp_path / "new.safetensors",
        family=model.family, unet=model.unet, text_encoders=model.text_encoders, vae=model.vae, dtype=torch.float16,
    )  # fmt: skip
    written = load_file(path)
    assert {name for name in original if name not in written} <= {n for n in original if n.endswith("position_ids")}
    assert written.keys() <= original.keys()
    assert [name for name, tensor in written.items() if not torch.equal(tensor, original[name])] == []


def test_over_a_base_the_file_keeps_its_dialect_and_what_no_module_holds(tmp_path: Path) -> None:
    """Early SD1 names, the VAE's attention as linear layers, tensors of a trainer, other types: all as they were."""
    tensors = load_file(write_tiny_checkpoint(tmp_path / "plain.safetensors"))
    base: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        if ".mid.attn_1.q.weight" in name:
            tensor = tensor.squeeze()
        base[name.replace(".text_model.", ".")] = tensor
    base["model_ema.decay"] = torch.tensor(0.9999)
    base["betas"] = torch.rand(1000)
    base["first_stage_model.decoder.conv_out.bias"] = base["first_stage_model.decoder.conv_out.bias"].float()
    save_file({name: tensor.contiguous() for name, tensor in base.items()}, tmp_path / "base.safetensors")
    model = load_checkpoint(tmp_path / "base.safetensors")
    with torch.no_grad():
        model.unet.conv_out.weight.mul_(2)
    path = write_checkpoint(
        tmp_path / "new.safetensors",
        family=model.family, unet=model.unet, text_encoders=model.text_encoders, vae=model.vae,
        base=tmp_path / "base.safetensors", markers=("v_pred",), metadata={"modelspec.title": "doubled"},
    )  # fmt: skip
    written = load_file(path)
    assert written.keys() == base.keys() | {"v_pred"}
    changed = {name for name in base if not torch.equal(written[name], base[name])}
    assert changed == {"model.diffusion_model.out.2.weight"}
    assert torch.equal(written["model.diffusion_model.out.2.weight"], base["model.diffusion_model.out.2.weight"] * 2)
    assert all(written[name].dtype == tensor.dtype for name, tensor in base.items())


def test_weights_of_the_files_own_type_share_its_pages_and_never_change_the_file(tmp_path: Path) -> None:
    path = write_tiny_checkpoint(tmp_path / "bf16.safetensors", dtype=torch.bfloat16)
    before = path.read_bytes()
    model = load_checkpoint(path, precision=BF16)
    first, second = model.unet.conv_in.weight, model.unet.conv_out.weight
    places = read_header(path).tensors
    begin = places["model.diffusion_model.input_blocks.0.0.weight"].begin
    assert second.data_ptr() - first.data_ptr() == places["model.diffusion_model.out.2.weight"].begin - begin
    with torch.no_grad():
        first.add_(1)
    assert path.read_bytes() == before


def test_the_next_model_of_equal_architecture_takes_over_the_memory_of_the_last(tmp_path: Path) -> None:
    first = load_checkpoint(write_tiny_checkpoint(tmp_path / "a.safetensors", seed=1))
    place = first.unet.conv_in.weight.data_ptr()
    path = write_tiny_checkpoint(tmp_path / "b.safetensors", seed=2)
    second = load_checkpoint(path, into=first)
    fresh = load_checkpoint(path)
    assert second.unet.conv_in.weight.data_ptr() == place
    for (name, part), (_, expected) in zip(second.parts(), fresh.parts(), strict=True):
        theirs = expected.state_dict()
        assert [key for key, t in part.state_dict().items() if not torch.equal(t, theirs[key])] == [], name
    assert second.fingerprint == fresh.fingerprint != first.fingerprint
    wider = load_checkpoint(write_tiny_checkpoint(tmp_path / "c.safetensors", text_layers=3), into=second)
    assert len(wider.text_encoders[0].transformer.encoder.layers) == 3


def test_a_vae_loads_alone_and_stands_in_for_a_missing_one(files: dict[str, Path], tmp_path: Path) -> None:
    tensors = load_file(files["SD1"])
    plain = {name.removeprefix("first_stage_model."): t for name, t in tensors.items() if name.startswith("first_")}
    save_file(plain, tmp_path / "alone.vae.safetensors")
    vae = load_vae(tmp_path / "alone.vae.safetensors", scaling_factor=0.18215)
    baked = load_vae(files["SD1"], scaling_factor=0.18215)
    latent = torch.randn(1, 4, 4, 4)
    with torch.inference_mode():
        assert torch.equal(vae.decode(latent), baked.decode(latent))
    without = write_tiny_checkpoint(tmp_path / "without.safetensors", without=("first_stage_model.",))
    assert load_checkpoint(without, vae=vae).vae is vae
    with pytest.raises(UnsupportedModel, match="holds no VAE"):
        load_checkpoint(without)
    assert load_checkpoint(files["SD1"], vae=vae).report == ("Its own VAE is not used.",)


def test_a_damaged_file_is_named_with_the_tensor_that_is_missing(tmp_path: Path) -> None:
    missing = "model.diffusion_model.middle_block.1.proj_in.bias"
    path = write_tiny_checkpoint(tmp_path / "hole.safetensors", without=(missing,))
    with pytest.raises(BrokenModelFile, match=r"hole\.safetensors lacks 1 of .* tensors of its U-Net: " + missing):
        load_checkpoint(path)
    honest = load_file(write_tiny_checkpoint(tmp_path / "sd2.safetensors", "SD2"))
    for name in ("attn.in_proj_bias", "attn.out_proj.weight"):
        key = f"cond_stage_model.model.transformer.resblocks.1.{name}"
        save_file({**honest, key: torch.zeros(())}, tmp_path / "flat.safetensors")
        with pytest.raises(BrokenModelFile, match=r"flat\.safetensors: tensor " + key):
            load_checkpoint(tmp_path / "flat.safetensors")
    half = tmp_path / "half.safetensors"
    half.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(BrokenModelFile, match=r"half\.safetensors"):
        load_checkpoint(half)
    with pytest.raises(ModelNotFound):
        load_checkpoint(tmp_path / "nowhere.safetensors")


def test_a_file_of_another_kind_is_refused_in_words(tmp_path: Path, files: dict[str, Path]) -> None:
    save_file({"lora_unet_x.lora_down.weight": torch.zeros(4, 8)}, tmp_path / "lora.safetensors")
    with pytest.raises(UnsupportedModel, match="it looks like: lora"):
        load_checkpoint(tmp_path / "lora.safetensors")
    without = write_tiny_checkpoint(tmp_path / "mute.safetensors", without=("cond_stage_model.",))
    with pytest.raises(UnsupportedModel, match="holds no text encoder"):
        load_checkpoint(without)
    mixed = {**load_file(files["SD1"]), **load_file(write_tiny_checkpoint(tmp_path / "w.safetensors", text_width=64))}
    unet = {name: tensor for name, tensor in load_file(files["SD1"]).items() if name.startswith("model.")}
    save_file({**mixed, **unet}, tmp_path / "mixed.safetensors")
    with pytest.raises(BrokenModelFile, match="reads text 32 wide, its text encoders write 64"):
        load_checkpoint(tmp_path / "mixed.safetensors")


def test_tensors_that_no_part_needs_are_reported(tmp_path: Path) -> None:
    tensors = load_file(write_tiny_checkpoint(tmp_path / "plain.safetensors"))
    save_file(
        {**tensors, "strange.weight": torch.zeros(3), "model_ema.decay": torch.zeros(1)}, tmp_path / "s.safetensors"
    )
    assert load_checkpoint(tmp_path / "s.safetensors").report == ("1 tensors are not used: strange.weight.",)
