"""Small random CLIP text encoders with the vocabulary's full size, for tests of the mechanics."""

from __future__ import annotations

from dataclasses import replace

import torch
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from app.models import SD1, SD2, SDXL, TextEncoder, TextEncoderFacts


def small(facts: TextEncoderFacts, *, width: int = 16, layers: int = 3, seed: int = 0) -> TextEncoder:
    """An encoder that obeys a family's facts at a fraction of its size."""
    torch.manual_seed(seed)
    config = CLIPTextConfig(
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=2,
        projection_dim=width,
        hidden_act=facts.activation,
        initializer_factor=20.0,
    )
    kind = CLIPTextModelWithProjection if facts.pooled else CLIPTextModel
    module = kind(config).eval().requires_grad_(False)
    encoder = TextEncoder(replace(facts, width=width, layers=layers, heads=2), module)
    encoder.transformer.final_layer_norm.bias.fill_(-0.25)  # a mean away from 0, as real encoders have
    return encoder


def sd1() -> TextEncoder:
    """SD1's: last layer, final norm, heeds CLIP skip, pads with EOS."""
    return small(SD1.text_encoders[0])


def sd2() -> TextEncoder:
    """SD2's: the layer before the last, final norm, no CLIP skip, pads with 0."""
    return small(SD2.text_encoders[0])


def sdxl() -> tuple[TextEncoder, TextEncoder]:
    """SDXL's two, of different widths: the layer before the last without a norm, the second with a pooled vector."""
    return small(SDXL.text_encoders[0]), small(SDXL.text_encoders[1], width=24, seed=1)
