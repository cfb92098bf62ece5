"""Folders and files in diffusers' naming load into the same model as the original single file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from app.files import Identity
from app.models import LoadedModel, load_checkpoint, load_vae, write_checkpoint, write_single_file
from app.schema.errors import BrokenModelFile, UnsupportedModel
from tests.models.checkpoints import LAYOUTS, write_tiny_checkpoint
from tests.models.folders import parts_of, save_folder
from tests.models.oracles import near, unet_inputs

FAMILIES = tuple(LAYOUTS)
Single = dict[str, tuple[Path, dict[str, Any], LoadedModel]]


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Single:
    """Per family: the original file, diffusers' modules made of it, and what we load from it."""
    made = {}
    for family in FAMILIES:
        path = write_tiny_checkpoint(tmp_path_factory.mktemp("single") / "a.safetensors", family, dtype=torch.float32)
        made[family] = path, parts_of(path, LAYOUTS[family]), load_checkpoint(path)
    return made


def differences(ours: LoadedModel, expected: LoadedModel) -> list[str]:
    """Paths of our weights that are not the expected ones."""
    theirs = dict(expected.weights()) | dict(expected.vae.module.named_parameters())
    weights = dict(ours.weights()) | dict(ours.vae.module.named_parameters())
    return [path for path, weight in weights.items() if not torch.equal(weight, theirs[path])]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_is_the_model_of_the_single_file(family: str, single: Single, tmp_path: Path) -> None:
    _, parts, expected = single[family]
    folder = save_folder(tmp_path / "some model v1.5", parts, {"prediction_type": "epsilon"})
    model = load_checkpoint(folder)
    assert model.family.name == family
    assert differences(model, expected) == []
    assert model.report == ()
    assert model.file == Identity.of(folder)
    assert (model.alphas_cumprod == expected.alphas_cumprod).all()
    tokens = torch.tensor([[49406, 320, 1125, 49407] + [49407] * 73])
    with torch.inference_mode():
        for ours, theirs in zip(model.text_encoders, expected.text_encoders, strict=True):
            answer, wanted = (one.encode(one.token_embedding(tokens), torch.tensor([3])) for one in (ours, theirs))
            assert near(answer.hidden, wanted.hidden)
            assert wanted.pooled is None or (answer.pooled is not None and near(answer.pooled, wanted.pooled))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_becomes_the_original_single_file_bit_for_bit(family: str, single: Single, tmp_path: Path) -> None:
    original, parts, expected = single[family]
    folder = save_folder(
        tmp_path / "folder", parts, {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
    )
    written = write_single_file(folder, tmp_path / "one.safetensors")
    model = load_checkpoint(written)
    assert differences(model, expected) == []
    assert model.prediction_type == "v"
    assert model.alphas_cumprod[-1] < 1e-7
    ours, theirs = load_file(written), load_file(original)
    # SD2's last layer and projection, which diffusers leaves out.
    dropped = ("cond_stage_model.model.transformer.resblocks.1.", "cond_stage_model.model.text_projection")
    unused = {name for name in theirs if name.endswith(("position_ids", "logit_scale"))}
    unused |= {name for name in theirs if family == "SD2" and name.startswith(dropped)}
    marks = {"v_pred", "ztsnr"} if family == "SDXL" else set()
    assert theirs.keys() - ours.keys() <= unused
    assert {name for name in ours.keys() - theirs.keys() if not name.endswith("logit_scale")} == marks
    assert [name for name in ours.keys() & theirs.keys() - unused if not torch.equal(ours[name], theirs[name])] == []


def test_shards_pickles_and_variants_of_a_folder(single: Single, tmp_path: Path) -> None:
    _, parts, expected = single["SD1"]
    sharded = save_folder(tmp_path / "sharded", parts, max_shard_size="2MB")
    assert (sharded / "unet" / "diffusion_pytorch_model.safetensors.index.json").is_file()
    assert differences(load_checkpoint(sharded), expected) == []
    for name, module in parts.items():
        stem = "pytorch_model" if name.startswith("text") else "diffusion_pytorch_model"
        folder = tmp_path / "pickled" / name
        folder.mkdir(parents=True)
        torch.save(module.state_dict(), folder / f"{stem}.bin")
        (folder / "config.json").write_text((sharded / name / "config.json").read_text())
    (tmp_path / "pickled" / "model_index.json").write_text("{}")
    assert differences(load_checkpoint(tmp_path / "pickled"), expected) == []
    halves = {name: module.to(torch.float16) for name, module in parts_of(*_file_and_layout(single, "SD1")).items()}
    variant = save_folder(tmp_path / "variant", halves, variant="fp16")
    assert load_checkpoint(variant).unet.conv_in.weight[0, 0, 0, 0] == expected.unet.conv_in.weight[0, 0, 0, 0].half()
    parts["unet"].save_pretrained(variant / "unet")
    assert torch.equal(load_checkpoint(variant).unet.conv_in.weight, expected.unet.conv_in.weight)


def _file_and_layout(single: Single, family: str) -> tuple[Path, Any]:
    return single[family][0], LAYOUTS[family]


def test_a_folder_says_its_prediction_its_size_and_its_schedule(single: Single, tmp_path: Path) -> None:
    parts = single["SD2"][1]
    parts["unet"].register_to_config(sample_size=96)
    schedule = {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True}
    model = load_checkpoint(save_folder(tmp_path / "v", parts, schedule))
    assert model.prediction_type == "v"
    assert model.recommended[:2] == (768, 768)
    assert float(model.sigmas[-1]) == pytest.approx(4518.76, rel=1e-4)


@pytest.mark.parametrize("family", ["SD1", "SDXL"])
def test_one_file_in_diffusers_naming_holds_all_parts(family: str, single: Single, tmp_path: Path) -> None:
    _, parts, expected = single[family]
    tensors = {f"{part}.{name}": t for part, module in parts.items() for name, t in module.state_dict().items()}
    save_file(tensors, tmp_path / "all.safetensors")
    model = load_checkpoint(tmp_path / "all.safetensors")
    assert (model.family.name, differences(model, expected), model.report) == (family, [], ())


def test_a_unet_alone_borrows_the_rest(single: Single, tmp_path: Path) -> None:
    path, parts, expected = single["SDXL"]
    parts["unet"].save_pretrained(tmp_path / "unet")
    alone = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    with pytest.raises(UnsupportedModel, match=r"holds not the text encoder clip_l .* Choose a complete SDXL"):
        load_checkpoint(alone)
    vae = load_vae(path, scaling_factor=0.13025)
    with pytest.raises(UnsupportedModel, match="holds no VAE"):
        load_checkpoint(alone, text_encoders_from=[path])
    model = load_checkpoint(alone, vae=vae, text_encoders_from=[path])
    assert differences(model, expected) == []
    assert model.report == ("Its text encoder comes from a.safetensors.",) * 2
    assert model.fingerprint != expected.fingerprint


def test_text_encoders_come_from_another_family_that_shares_one_or_from_files_of_their_own(
    single: Single, tmp_path: Path
) -> None:
    _, parts, expected = single["SD1"]
    mute = write_tiny_checkpoint(tmp_path / "mute.safetensors", dtype=torch.float32, without=("cond_stage_model.",))
    sdxl = load_checkpoint(mute, text_encoders_from=[single["SD2"][0], single["SDXL"][0]])
    theirs = single["SDXL"][2].text_encoders[0].module.state_dict()
    assert all(torch.equal(t, theirs[name]) for name, t in sdxl.text_encoders[0].module.state_dict().items())
    parts["text_encoder"].save_pretrained(tmp_path / "clip")
    alone = load_checkpoint(mute, text_encoders_from=[tmp_path / "clip" / "model.safetensors"])
    assert differences(alone, expected) == []
    with pytest.raises(UnsupportedModel, match=r"holds no text encoder .* Neither has a.safetensors"):
        load_checkpoint(mute, text_encoders_from=[single["SD2"][0]])
    wide = write_tiny_checkpoint(tmp_path / "wide.safetensors", text_width=64)
    with pytest.raises(BrokenModelFile, match=r"Take them from another file than wide\.safetensors"):
        load_checkpoint(mute, text_encoders_from=[wide])


def test_a_vae_in_diffusers_naming_loads_from_file_and_folder(single: Single, tmp_path: Path) -> None:
    _, parts, expected = single["SD1"]
    parts["vae"].save_pretrained(tmp_path / "vae")
    tensors = load_file(tmp_path / "vae" / "diffusion_pytorch_model.safetensors")
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    for new, name in old.items():
        tensors = {key.replace(f"attentions.0.{new}.", f"attentions.0.{name}."): t for key, t in tensors.items()}
    save_file(tensors, tmp_path / "old.safetensors")
    latent = torch.randn(1, 4, 4, 4)
    with torch.inference_mode():
        wanted = expected.vae.decode(latent)
        for path in (tmp_path / "vae", tmp_path / "old.safetensors"):
            assert torch.equal(load_vae(path, scaling_factor=0.18215).decode(latent), wanted)


def test_a_folder_that_is_incomplete_or_points_elsewhere_is_refused(single: Single, tmp_path: Path) -> None:
    parts = single["SD1"][1]
    folder = save_folder(tmp_path / "bad", {"vae": parts["vae"]})
    with pytest.raises(UnsupportedModel, match="no weights in its sub-folder unet"):
        load_checkpoint(folder)
    (folder / "unet").mkdir()
    index = folder / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"conv_in.weight": "../vae/diffusion_pytorch_model.safetensors"}}))
    with pytest.raises(BrokenModelFile, match="points outside of its folder"):
        load_checkpoint(folder)
    index.write_text("{")
    with pytest.raises(BrokenModelFile, match="no valid JSON"):
        load_checkpoint(folder)


def test_what_was_loaded_from_a_folder_is_written_in_the_original_layout(single: Single, tmp_path: Path) -> None:
    path, parts, _ = single["SDXL"]
    folder = save_folder(tmp_path / "folder", parts)
    model = load_checkpoint(folder)
    written = load_file(
        write_checkpoint(
            tmp_path / "new.safetensors",
            family=model.family, unet=model.unet, text_encoders=model.text_encoders, vae=model.vae, base=folder,
        )
    )  # fmt: skip
    original = load_file(path)
    names = {name for name in original if not name.endswith(("position_ids", "logit_scale"))}
    assert written.keys() - {"conditioner.embedders.1.model.logit_scale"} == names
    assert [name for name in names if not torch.equal(written[name], original[name])] == []


def _diffusers_unet(**config: Any) -> Any:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel  # noqa: PLC0415 - takes seconds

    torch.manual_seed(0)
    return UNet2DConditionModel(cross_attention_dim=32, **config).eval()


CROSS = ("CrossAttnDownBlock2D", "CrossAttnUpBlock2D")
SMALL: dict[str, dict[str, Any]] = {
    # Kim et al. 2023 (BK-SDM), table 1: one residual block less a level, no middle, for 'tiny' no fourth level.
    "tiny-sd": {
        "block_out_channels": (32, 64, 64), "down_block_types": CROSS[:1] * 3, "up_block_types": CROSS[1:] * 3,
        "layers_per_block": 1, "mid_block_type": None, "attention_head_dim": 8,
    },
    "small-sd": {
        "block_out_channels": (32, 64, 64, 64), "down_block_types": (*CROSS[:1] * 3, "DownBlock2D"),
        "up_block_types": ("UpBlock2D", *CROSS[1:] * 3), "layers_per_block": 1, "mid_block_type": None,
        "attention_head_dim": 8,
    },
    "LCM": {"block_out_channels": (32, 32, 64, 64), "time_cond_proj_dim": 16, "attention_head_dim": 8},
    "SSD-1B": {
        "block_out_channels": (64, 64, 128), "down_block_types": ("DownBlock2D", *CROSS[:1] * 2),
        "up_block_types": (*CROSS[1:] * 2, "UpBlock2D"), "mid_block_type": "UNetMidBlock2D",
        "transformer_layers_per_block": (1, (2, 2), (4, 4)),
        "reverse_transformer_layers_per_block": ((4, 4, 10), (2, 1, 1), 1),
        "attention_head_dim": (1, 1, 2), "use_linear_projection": True,
    },
    "Segmind-Vega": {
        "block_out_channels": (64, 64, 128), "down_block_types": ("DownBlock2D", *CROSS[:1] * 2),
        "up_block_types": (*CROSS[1:] * 2, "UpBlock2D"), "mid_block_type": "UNetMidBlock2D",
        "transformer_layers_per_block": (1, 1, (2, 2)),
        "reverse_transformer_layers_per_block": ((2, 2, 2), (1, 1, 1), 1),
        "attention_head_dim": (1, 1, 2), "use_linear_projection": True,
    },
    "KOALA-700M": {
        "block_out_channels": (64, 64, 128), "down_block_types": ("DownBlock2D", *CROSS[:1] * 2),
        "up_block_types": (*CROSS[1:] * 2, "UpBlock2D"), "mid_block_type": None, "layers_per_block": 1,
        "transformer_layers_per_block": (1, 2, 5),
        "attention_head_dim": (1, 1, 2), "use_linear_projection": True,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", list(SMALL))
@torch.inference_mode()
def test_pruned_and_distilled_unets_answer_as_diffusers_does(name: str, single: Single, tmp_path: Path) -> None:
    unet = _diffusers_unet(**SMALL[name])
    model = load_checkpoint(save_folder(tmp_path / "folder", {**single["SD1"][1], "unet": unet}))
    arguments, _ = unet_inputs(LAYOUTS["SD1"], side=8)
    options = {"timestep_cond": torch.randn(2, 16)} if name == "LCM" else {}
    assert near(
        model.unet(*arguments, **options, return_dict=False)[0], unet(*arguments, **options, return_dict=False)[0]
    )
    path = write_checkpoint(
        tmp_path / "again.safetensors",
        family=model.family, unet=model.unet, text_encoders=model.text_encoders, vae=model.vae,
        base=tmp_path / "folder",
    )  # fmt: skip
    again = load_checkpoint(path)
    assert differences(again, model) == []
    assert (again.family.name, again.report) == (model.family.name, ())
