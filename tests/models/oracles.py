"""Oracles: the modules that diffusers' and transformers' own converters make of a file in the original layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers.loaders.single_file_utils import (
    convert_ldm_clip_checkpoint,
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
    convert_open_clip_checkpoint,
)
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from tests.models.checkpoints import Layout


def file_tensors(path: Path, prefix: str = "") -> dict[str, Tensor]:
    """The file's tensors whose names begin with the prefix, as float32."""
    tensors = ((name, tensor) for name, tensor in load_file(path).items() if name.startswith(prefix))
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors}


def oracle_unet(path: Path, layout: Layout) -> Any:
    """diffusers' U-Net with diffusers' conversion of the file, from a configuration written out by hand."""
    cross = [depth > 0 for depth in layout.depths]
    config: dict[str, Any] = {
        "in_channels": layout.in_channels,
        "down_block_types": ["CrossAttnDownBlock2D" if attention else "DownBlock2D" for attention in cross],
        "up_block_types": ["CrossAttnUpBlock2D" if attention else "UpBlock2D" for attention in reversed(cross)],
        "block_out_channels": list(layout.channels),
        "layers_per_block": layout.layers,
        "cross_attention_dim": layout.context_width,
        "transformer_layers_per_block": [max(depth, 1) for depth in layout.depths],
        "norm_num_groups": layout.groups or 32,
        "attention_head_dim": layout.heads or (8 if layout.family == "SD1" else [c // 64 for c in layout.channels]),
        "use_linear_projection": layout.linear,
    }
    if layout.label_width:
        config["addition_embed_type"] = "text_time"
        config["addition_time_embed_dim"] = 256
        config["projection_class_embeddings_input_dim"] = layout.label_width
    with torch.device("meta"):
        unet = UNet2DConditionModel(**config)
    converted = convert_ldm_unet_checkpoint(file_tensors(path, "model.diffusion_model."), config)
    unet.load_state_dict(converted, assign=True)
    return unet.eval()


def oracle_vae(path: Path, layout: Layout) -> Any:
    """diffusers' VAE with diffusers' conversion of the file."""
    levels = len(layout.vae_channels)
    config: dict[str, Any] = {
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "block_out_channels": list(layout.vae_channels),
        "layers_per_block": layout.vae_layers,
        "norm_num_groups": layout.groups or 32,
        "latent_channels": 4,
    }
    vae = AutoencoderKL(**config)
    vae.load_state_dict(convert_ldm_vae_checkpoint(file_tensors(path, "first_stage_model."), config))
    return vae.eval()


def oracle_clip(path: Path, layout: Layout) -> Any:
    """transformers' CLIP text model with diffusers' conversion of the file."""
    model = CLIPTextModel(_text_config(layout.text_width, "quick_gelu", layout.text_layers, layout.text_heads))
    prefix = "cond_stage_model." if layout.family == "SD1" else "conditioner.embedders.0."
    converted = convert_ldm_clip_checkpoint(file_tensors(path, prefix))
    model.load_state_dict({_flat(name): t for name, t in converted.items() if "position_ids" not in name})
    return model.eval()


def oracle_sd2_text(path: Path, layout: Layout) -> Any:
    """SD2's OpenCLIP encoder as diffusers has it: without projection and without the last layer."""
    last = layout.text_layers - 1
    model = CLIPTextModel(_text_config(layout.open_clip_width, "gelu", last, layout.text_heads))
    converted = convert_open_clip_checkpoint(model, file_tensors(path, "cond_stage"), "cond_stage_model.model.")
    model.load_state_dict({_flat(name): t for name, t in converted.items() if f"layers.{last}." not in name})
    return model.eval()


def oracle_sdxl_text(path: Path, layout: Layout, prefix: str) -> Any:
    """SDXL's OpenCLIP encoder as diffusers has it."""
    layers = layout.second_layers or layout.text_layers
    model = CLIPTextModelWithProjection(_text_config(layout.open_clip_width, "gelu", layers, layout.text_heads))
    model.load_state_dict(convert_open_clip_checkpoint(model, file_tensors(path, prefix), prefix))
    return model.eval()


def _flat(name: str) -> str:
    return name.removeprefix("text_model.")


def _text_config(width: int, activation: str, layers: int, heads: int | None) -> CLIPTextConfig:
    return CLIPTextConfig(
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads or max(1, width // 64),
        hidden_act=activation,
        projection_dim=width,
        eos_token_id=49407,
    )


def near(ours: Tensor, theirs: Tensor) -> bool:
    """Equal to a hundred-thousandth of the largest value."""
    return bool((ours - theirs).abs().max() <= 1e-5 * theirs.abs().max())


def unet_inputs(layout: Layout, side: int = 16) -> tuple[tuple[Tensor, Tensor, Tensor], dict[str, Any]]:
    """Arguments of one U-Net call on a batch of two."""
    generator = torch.Generator().manual_seed(1)
    latent = torch.randn(2, layout.in_channels, side, side, generator=generator)
    context = torch.randn(2, 77, layout.context_width, generator=generator)
    added: dict[str, Any] = {}
    if layout.label_width:
        pooled = torch.randn(2, layout.open_clip_width, generator=generator)
        numbers = torch.tensor([[512.0, 384.0, 0.0, 0.0, 512.0, 384.0][: layout.size_numbers]] * 2)
        added["added_cond_kwargs"] = {"text_embeds": pooled, "time_ids": numbers}
    return (latent, torch.tensor([501.5, 12.0]), context), added
