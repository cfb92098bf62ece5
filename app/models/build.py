"""Build: shapes and facts -> empty diffusers and transformers modules on the meta device.

The one place where their constructors are called. Importing it takes seconds, so it is imported late.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from transformers.models.clip.configuration_clip import CLIPTextConfig
from transformers.models.clip.modeling_clip import CLIPTextModel, CLIPTextModelWithProjection

from app.models.families import TextEncoderFacts
from app.models.guidance_scale import guide_as_usual
from app.models.shapes import TextShape, UNetShape, VaeShape


def build_unet(shape: UNetShape, heads: Sequence[int], norm_groups: int, label_number_width: int = 256) -> Any:
    """An empty U-Net. heads: of each level. label_number_width: sines and cosines per size number (SDXL)."""
    down_depths: list[Any] = [depths if any(depths) else 1 for depths in shape.down_depths]
    if not any(shape.down_depths[-1]):
        # diffusers gives the middle block the depth of the last level, which has none of its own here.
        down_depths[-1] = shape.middle_depth or 1
    options: dict[str, Any] = {"time_cond_proj_dim": shape.guidance_width or None}
    if shape.label_width:
        options |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": label_number_width,
            "projection_class_embeddings_input_dim": shape.label_width,
        }
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            in_channels=shape.in_channels,
            out_channels=shape.out_channels,
            down_block_types=tuple("CrossAttnDownBlock2D" if any(d) else "DownBlock2D" for d in shape.down_depths),
            mid_block_type=_middle_type(shape),
            up_block_types=tuple("CrossAttnUpBlock2D" if any(d) else "UpBlock2D" for d in shape.up_depths),
            block_out_channels=shape.channels,
            layers_per_block=tuple(len(depths) for depths in shape.down_depths),
            transformer_layers_per_block=tuple(down_depths),
            reverse_transformer_layers_per_block=tuple(depths if any(depths) else 1 for depths in shape.up_depths),
            attention_head_dim=tuple(heads),
            cross_attention_dim=shape.context_width,
            norm_num_groups=norm_groups,
            use_linear_projection=shape.linear_projection,
            **options,
        )
    if shape.guidance_width:
        guide_as_usual(unet)
    return unet.eval().requires_grad_(False)


def _middle_type(shape: UNetShape) -> str | None:
    if not shape.middle:
        return None
    return "UNetMidBlock2D" if shape.middle_depth is None else "UNetMidBlock2DCrossAttn"


def build_vae(shape: VaeShape, norm_groups: int, scaling_factor: float) -> Any:
    """An empty VAE."""
    levels = len(shape.channels)
    with torch.device("meta"):
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            block_out_channels=shape.channels,
            layers_per_block=shape.layers,
            latent_channels=shape.latent_channels,
            norm_num_groups=norm_groups,
            scaling_factor=scaling_factor,
            use_quant_conv=shape.quant_conv,
            use_post_quant_conv=shape.post_quant_conv,
            mid_block_add_attention=shape.middle_attention,
        )
    return vae.eval().requires_grad_(False)


def build_text_encoder(shape: TextShape, facts: TextEncoderFacts) -> Any:
    """An empty text encoder, with a projection where the file has one."""
    config = CLIPTextConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.feed_forward,
        projection_dim=shape.projection or shape.width,
        num_hidden_layers=shape.layers,
        num_attention_heads=facts.heads,
        max_position_embeddings=shape.length,
        hidden_act=facts.activation,
        bos_token_id=facts.start_token,
        eos_token_id=facts.end_token,
        pad_token_id=facts.pad_token,
        attn_implementation="sdpa",
    )
    with torch.device("meta"):
        encoder = CLIPTextModelWithProjection(config) if shape.projection else CLIPTextModel(config)
    return encoder.eval().requires_grad_(False)
