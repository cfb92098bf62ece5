"""Which layers a LoRA changes, and how many numbers it holds: kohya's choice, counted on models of true size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from app.models import SD1, SDXL, LoadedModel, Recommended, TextEncoder, Vae, alphas_cumprod
from app.training import plan
from app.training.targets import HypernetworkSettings, HypernetworkTarget, LoraSettings, LoraTarget, lora_layers
from tests.training.making import asked, draw_pictures

BIG_G: dict[str, Any] = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "projection_dim": 1280,
}
CLIP_L: dict[str, Any] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
}


def true_size(family: str) -> LoadedModel:
    """A model without weights, of the published configuration."""
    with torch.device("meta"):
        if family == "SD1":
            unet = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
            encoders = (TextEncoder(SD1.text_encoders[0], CLIPTextModel(CLIPTextConfig(**CLIP_L))),)
        else:
            unet = UNet2DConditionModel(
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
                block_out_channels=(320, 640, 1280),
                transformer_layers_per_block=(1, 2, 10),
                attention_head_dim=(5, 10, 20),
                cross_attention_dim=2048,
                addition_embed_type="text_time",
                addition_time_embed_dim=256,
                projection_class_embeddings_input_dim=2816,
                use_linear_projection=True,
            )
            encoders = (
                TextEncoder(SDXL.text_encoders[0], CLIPTextModel(CLIPTextConfig(**CLIP_L))),
                TextEncoder(SDXL.text_encoders[1], CLIPTextModelWithProjection(CLIPTextConfig(**BIG_G))),
            )
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(128, 256, 512, 512),
            layers_per_block=2,
        )
    facts = SD1 if family == "SD1" else SDXL
    return LoadedModel(
        family=facts,
        unet=unet,
        text_encoders=encoders,
        vae=Vae(vae, facts.scaling_factor),
        prediction_type="epsilon",
        alphas_cumprod=alphas_cumprod(facts),
        recommended=Recommended(512, 512),
        preview=facts.preview,
        fingerprint="",
    )


@pytest.fixture(scope="module")
def sd1() -> LoadedModel:
    return true_size("SD1")


@pytest.fixture(scope="module")
def sdxl() -> LoadedModel:
    return true_size("SDXL")


def counted(model: LoadedModel, prefix: str, **settings: Any) -> tuple[int, int]:
    """Layers and numbers of one part at rank 1."""
    learnt = LoraTarget(model, LoraSettings(**{"rank": 1, "alpha": 1.0, **settings}))
    found = {name: part.numel() for name, part in learnt.parameters().items() if name.startswith(prefix)}
    learnt.detach()
    return len(found) // 2, sum(found.values())


def test_sd15_has_the_published_counts_per_rank(sd1: LoadedModel) -> None:
    assert counted(sd1, "lora_unet_") == (192, 423_936)
    assert counted(sd1, "lora_unet_", conv_rank=1) == (278, 1_050_816)
    assert counted(sd1, "lora_te_", text_factor=1.0) == (72, 165_888)


def test_sdxl_has_the_published_counts_per_rank(sdxl: LoadedModel) -> None:
    assert counted(sdxl, "lora_unet_") == (722, 2_659_840)
    assert counted(sdxl, "lora_unet_", conv_rank=1) == (788, 3_074_240)
    assert counted(sdxl, "lora_te1_", text_factor=1.0) == (72, 165_888)
    assert counted(sdxl, "lora_te2_", text_factor=1.0) == (192, 737_280)


def test_numbers_and_file_grow_with_the_rank(sd1: LoadedModel) -> None:
    learnt = LoraTarget(sd1, LoraSettings(rank=16, alpha=8.0))
    assert sum(part.numel() for part in learnt.parameters().values()) == 16 * 423_936
    assert learnt.file_bytes() == pytest.approx(13.6e6, rel=0.01)
    learnt.detach()


def test_names_are_kohyas(sd1: LoadedModel, sdxl: LoadedModel) -> None:
    first = {layer.name for layer in lora_layers(sd1, convolutions=True, text=True)}
    assert first > {
        "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q",
        "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_out_0",
        "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_ff_net_0_proj",
        "lora_unet_mid_block_attentions_0_proj_in",
        "lora_unet_up_blocks_1_resnets_2_time_emb_proj",
        "lora_unet_down_blocks_0_downsamplers_0_conv",
        "lora_te_text_model_encoder_layers_11_mlp_fc2",
        "lora_te_text_model_encoder_layers_0_self_attn_out_proj",
    }
    second = {layer.name for layer in lora_layers(sdxl, convolutions=True, text=True)}
    assert second > {
        "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q",
        "lora_unet_middle_block_1_transformer_blocks_9_ff_net_2",
        "lora_unet_output_blocks_0_1_proj_out",
        "lora_unet_input_blocks_1_0_in_layers_2",
        "lora_unet_input_blocks_1_0_emb_layers_1",
        "lora_unet_input_blocks_3_0_op",
        "lora_unet_output_blocks_2_2_conv",
        "lora_unet_input_blocks_4_0_skip_connection",
        "lora_te1_text_model_encoder_layers_0_self_attn_q_proj",
        "lora_te2_text_model_encoder_layers_31_mlp_fc1",
    }


def test_a_hypernetwork_of_sd15_has_the_size_of_a1111s(sd1: LoadedModel) -> None:
    with torch.device("meta"):
        learnt = HypernetworkTarget(
            sd1, HypernetworkSettings("h", (320, 640, 768, 1280), (1, 2, 1), weight_init="Zero")
        )
    assert learnt.file_bytes() == pytest.approx(87.8e6, rel=0.01)
    learnt.detach()


MB, GB = 1e6, 1e9
SD1_UNET, SDXL_UNET = 859_520_964, 2_567_463_684
# Numbers trained, bytes of the file and of a snapshot, memory at the least; float32 and AdamW unless said otherwise.
TABLE: dict[tuple[str, str], tuple[dict[str, Any], int, float, float, float]] = {
    ("SD1", "lora"): ({"rank": 32, "text_encoder_rate": 0.5}, 32 * (423_936 + 165_888), 37.8 * MB, 226 * MB, 4.57 * GB),
    ("SD1", "dreambooth"): ({"prior": "none", "save_precision": "fp16"}, SD1_UNET, 2.13 * GB, 10.3 * GB, 14.6 * GB),
    ("SD1", "textual_inversion"): ({"vectors": 8}, 8 * 768, 24_576, 73_728, 4.27 * GB),
    ("SD1", "hypernetwork"): ({"widths": (320, 640, 768, 1280)}, 21_939_840, 87.8 * MB, 263 * MB, 4.62 * GB),
    ("SDXL", "lora"): ({"rank": 16}, 16 * 2_659_840, 85.1 * MB, 511 * MB, 14.6 * GB),
    ("SDXL", "dreambooth"): (
        {"prior": "none", "optimizer": "Adafactor", "save_precision": "fp16"},
        SDXL_UNET, 6.94 * GB, 20.5 * GB, 26.7 * GB,
    ),
    ("SDXL", "textual_inversion"): ({"vectors": 8}, 8 * (768 + 1280), 65_536, 196_608, 13.9 * GB),
}  # fmt: skip


@pytest.mark.parametrize(("family", "method"), TABLE)
def test_a_plan_tells_numbers_file_snapshot_and_memory_of_each_method(
    family: str, method: str, sd1: LoadedModel, sdxl: LoadedModel, tmp_path: Path
) -> None:
    fields, numbers, file, snapshot, memory = TABLE[family, method]
    planned = plan(asked(draw_pictures(tmp_path / "data", 1), method, **fields), sd1 if family == "SD1" else sdxl)
    assert planned.parameters == numbers
    assert planned.room.file == pytest.approx(file, rel=0.015)
    assert planned.room.snapshot == pytest.approx(snapshot, rel=0.015)
    assert planned.memory == pytest.approx(memory, rel=0.015)


def test_half_precision_halves_what_is_frozen_and_a_teacher_doubles_what_is_trained(
    sd1: LoadedModel, tmp_path: Path
) -> None:
    data = draw_pictures(tmp_path / "data", 1)
    frozen = plan(asked(data, "textual_inversion", precision="bf16"), sd1).memory
    assert frozen == pytest.approx((SD1_UNET + 123_060_480) * 2 + 83_653_863 * 4, rel=1e-4)
    taught, untaught = (plan(asked(data, "dreambooth", prior=prior), sd1).memory for prior in ("prediction", "none"))
    assert taught - untaught == SD1_UNET * 4
