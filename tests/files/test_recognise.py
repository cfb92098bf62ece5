"""Kind, family, variant and prediction are told from names, shapes and metadata, in A1111's order."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from app.files import Recognised, TensorPlace, recognise
from tests.files import making
from tests.files.making import Shapes, lora

INPUT = "model.diffusion_model.input_blocks.0.0.weight"
ALL = ("unet", "vae", "text encoder")
ATTENTION = "lycoris_mid_block_attentions_0_transformer_blocks_0_attn2_to_k"
TAESD = Recognised("vae", "", "taesd")


def told(shapes: Shapes, metadata: Mapping[str, str] | None = None) -> Recognised:
    return recognise({name: TensorPlace("F16", shape, 0, 0) for name, shape in shapes.items()}, metadata or {})


@pytest.mark.parametrize(
    ("shapes", "family", "variant"),
    [
        (making.SD1, "SD1", ""),
        ({**making.SD1, INPUT: (320, 9, 3, 3)}, "SD1", "inpaint"),
        ({**making.SD1, INPUT: (320, 8, 3, 3)}, "SD1", "pix2pix"),
        (making.SD2, "SD2", ""),
        ({**making.SD2, INPUT: (320, 9, 3, 3)}, "SD2", "inpaint"),
        (
            {
                **making.SD2,
                "depth_model.model.pretrained.act_postprocess3.0.project.0.bias": (1,),
                INPUT: (320, 5, 3, 3),
            },
            "SD2",
            "depth",
        ),
        ({**making.SD2, "embedder.model.ln_final.weight": (768,)}, "SD2", "unclip"),
        (making.SDXL, "SDXL", ""),
        ({**making.SDXL, INPUT: (320, 9, 3, 3)}, "SDXL", "inpaint"),
        (making.REFINER, "SDXL refiner", ""),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_checkpoints_family_and_variant(shapes: Shapes, family: str, variant: str) -> None:
    found = told(shapes)
    assert (found.kind, found.family, found.variant) == ("checkpoint", family, variant)


@pytest.mark.parametrize(("width", "channels", "family", "variant"), [(768, 4, "SD1", ""), (1024, 9, "SD2", "inpaint")])
def test_averaged_weights_alone_are_a_checkpoint(width: int, channels: int, family: str, variant: str) -> None:
    averaged = {
        "model_ema.diffusion_modelinput_blocks00weight": (320, channels, 3, 3),
        "model_ema.diffusion_modelinput_blocks11transformer_blocks0attn2to_kweight": (320, width),
        "first_stage_model.decoder.conv_in.weight": (512, 4, 3, 3),
    }
    assert told(averaged) == Recognised("checkpoint", family, variant, "", ("vae", "ema"))


def test_a_whole_pipeline_in_one_file_in_diffusers_naming_is_a_checkpoint() -> None:
    names = {
        "unet.conv_in.weight": (320, 4, 3, 3),
        "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight": (640, 2048),
        "vae.decoder.conv_in.weight": (512, 4, 3, 3),
        "text_encoder.text_model.embeddings.token_embedding.weight": (49408, 768),
        "text_encoder_2.text_model.embeddings.token_embedding.weight": (49408, 1280),
    }
    assert told(names) == Recognised("checkpoint", "SDXL", "", "", ALL)


def test_the_starter_has_sd1s_layout_at_other_widths() -> None:
    starter = {
        INPUT: (48, 4, 3, 3),
        "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (48, 64),
        "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight": (49408, 64),
        "first_stage_model.decoder.conv_in.weight": (64, 4, 3, 3),
        "v_pred": (0,),
        "ztsnr": (0,),
    }
    assert told(starter) == Recognised("checkpoint", "SD1", "", "v", ALL)


def test_an_sdxl_unet_without_transformers_in_the_middle_is_a_distilled_one() -> None:
    small = {name: shape for name, shape in making.SDXL.items() if "middle_block.1" not in name}
    assert told({**small, "model.diffusion_model.middle_block.0.in_layers.0.weight": (1280,)}).variant == "SSD-1B"


@pytest.mark.parametrize(("width", "family"), [(768, "SD1"), (1024, "SD2"), (2048, "SDXL"), (1280, "SDXL refiner")])
def test_a_unet_alone_tells_its_family_by_the_width_of_its_context(width: int, family: str) -> None:
    key = "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"
    middle = "model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight"
    found = told({INPUT: (320, 4, 3, 3), key: (320, width), middle: (1280, width)})
    assert (found.family, found.parts) == (family, ("unet",))
    bare = told({"input_blocks.0.0.weight": (320, 4, 3, 3), key.removeprefix("model.diffusion_model."): (320, width)})
    assert (bare.kind, bare.family) == ("checkpoint", family)


@pytest.mark.parametrize(
    ("tensors", "metadata", "prediction"),
    [
        ({}, {}, ""),
        ({"v_pred": (0,)}, {}, "v"),
        ({}, {"modelspec.prediction_type": "v"}, "v"),
        ({}, {"modelspec.prediction_type": "v_prediction"}, "v"),
        ({}, {"modelspec.prediction_type": "epsilon"}, "epsilon"),
        ({"v_pred": (0,)}, {"modelspec.prediction_type": "epsilon"}, "epsilon"),
    ],
)
def test_the_prediction_type_is_told_by_metadata_before_marker_tensors(
    tensors: Shapes, metadata: dict[str, str], prediction: str
) -> None:
    assert told({**making.SDXL, **tensors}, metadata).prediction == prediction


@pytest.mark.parametrize(
    ("shapes", "metadata", "family"),
    [
        (lora(768), {}, "SD1"),
        (lora(1024), {}, "SD2"),
        (lora(2048, "lora_te1_"), {}, "SDXL"),
        ({"lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": (4, 768)}, {}, "SDXL"),
        ({"lora_te_text_model_encoder_layers_0_self_attn_q_proj.lora_down.weight": (4, 1024)}, {}, "SD2"),
        ({"unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight": (4, 768)}, {}, "SD1"),
        ({"lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_v.hada_w1_b": (4, 2048)}, {}, "SDXL"),
        ({"lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_v.diff": (1280, 1024)}, {}, "SD2"),
        ({"lora_unet_conv_in.lokr_w1": (4, 4)}, {"ss_base_model_version": "sdxl_base_v1-0"}, "SDXL"),
        ({"lora_unet_conv_in.lokr_w1": (4, 4)}, {"ss_v2": "True"}, "SD2"),
        ({"lora_unet_conv_in.oft_blocks": (4, 4, 4)}, {"modelspec.architecture": "stable-diffusion-v1/lora"}, "SD1"),
        ({"lora_unet_conv_in.lokr_w1": (4, 4)}, {}, ""),
        ({"unet.mid_block.attentions.0.attn2.processor.to_k_lora.down.weight": (4, 768)}, {}, "SD1"),
        ({"unet.mid_block.attentions.0.attn2.to_k.lora_linear_layer.down.weight": (4, 2048)}, {}, "SDXL"),
        ({f"{ATTENTION}.lokr_w1": (4, 16), f"{ATTENTION}.lokr_w2": (80, 48)}, {}, "SD1"),
        (
            {f"{ATTENTION}.lokr_w1": (4, 16), f"{ATTENTION}.lokr_w2_a": (80, 4), f"{ATTENTION}.lokr_w2_b": (4, 128)},
            {},
            "SDXL",
        ),
        ({f"{ATTENTION}.a1.weight": (4, 1024), f"{ATTENTION}.b1.weight": (4, 1024)}, {}, "SD2"),
        ({"oft_unet_input_blocks_4_1_transformer_blocks_1_attn1_to_q.oft_blocks": (4, 8, 8)}, {}, "SDXL"),
        ({"lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": (4, 3072)}, {}, "Flux"),
    ],
)
def test_a_loras_family(shapes: Shapes, metadata: dict[str, str], family: str) -> None:
    found = told(shapes, metadata)
    assert (found.kind, found.family) == ("lora", family)


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        (making.VAE, Recognised("vae")),
        ({f"first_stage_model.{name}": shape for name, shape in making.VAE.items()}, Recognised("vae")),
        ({"1.weight": (64, 4, 3, 3), "3.conv.0.weight": (64, 64, 3, 3)}, Recognised("vae", "", "taesd")),
        ({"emb_params": (3, 768)}, Recognised("embedding", "SD1")),
        ({"<cat>": (1024,)}, Recognised("embedding", "SD2")),
        ({"emb_params": (2, 64)}, Recognised("embedding", "")),
        ({"clip_l": (2, 768), "clip_g": (2, 1280)}, Recognised("embedding", "SDXL")),
        ({"768.0.linear.0.weight": (768, 768), "768.1.linear.0.weight": (768, 768)}, Recognised("hypernetwork")),
        ({"conv_first.weight": (64, 3, 3, 3), "body.0.rdb1.conv1.weight": (32, 64, 3, 3)}, Recognised("upscaler")),
        (
            {"model.0.weight": (64, 3, 3, 3), "model.1.sub.0.RDB1.conv1.0.weight": (32, 64, 3, 3)},
            Recognised("upscaler"),
        ),
        (
            {"control_model.zero_convs.0.0.weight": (320,), "control_model.x.attn2.to_k.weight": (320, 768)},
            Recognised("controlnet", "SD1"),
        ),
        (
            {"conv_in.weight": (320, 4, 3, 3), "down_blocks.0.attentions.0.attn2.to_k.weight": (320, 768)},
            Recognised("unet", "SD1", parts=("unet",)),
        ),
        ({"0.weight": (64, 3, 3, 3), "1.conv.0.weight": (64, 64, 3, 3)}, Recognised("vae", "", "taesd encoder")),
        ({"decoder.layers.0.weight": (64, 4, 3, 3), "encoder.layers.0.weight": (64, 3, 3, 3)}, TAESD),
        ({"conv1.weight": (8, 4, 7, 7), "conv8.weight": (3, 8, 3, 3)}, Recognised("vae approximation")),
        ({"text_model.embeddings.token_embedding.weight": (49408, 768)}, Recognised("text encoder", "", "CLIP-L")),
        ({"token_embedding.weight": (49408, 1024)}, Recognised("text encoder", "SD2", "OpenCLIP-H")),
        (
            {"text_model.embeddings.token_embedding.weight": (49408, 1280)},
            Recognised("text encoder", "SDXL", "OpenCLIP-G"),
        ),
        (
            {"shared.weight": (32128, 4096), "encoder.block.0.layer.0.SelfAttention.q.weight": (4096, 4096)},
            Recognised("text encoder", "", "T5"),
        ),
        ({"something": (1, 2, 3), "else": (2,)}, Recognised("unknown")),
        ({}, Recognised("unknown")),
    ],
    ids=lambda value: value.kind if isinstance(value, Recognised) else "",
)
def test_other_kinds(shapes: Shapes, expected: Recognised) -> None:
    assert told(shapes) == expected
