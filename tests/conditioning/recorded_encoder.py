"""Rebuilds the random CLIP-L text encoder with which A1111's text-encoder outputs were recorded.

Every number comes from integer arithmetic on PCG64's raw words, seeded by the tensor's name, so that it is the same
bit for bit on every machine; stored as fp16, as the recorded checkpoint is, and computed with in float32.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from app.models import SD1, TextEncoder, TokenVectors

WIDTH, FEED_FORWARD, LAYERS, VOCABULARY, LENGTH = 768, 3072, 12, 49408, 77
PREFIX = "cond_stage_model.transformer.text_model."
SHIFT = 0.125
"""What the recordings named 'shifted' took off the final norm's bias, so that the mean is not nearly 0."""


def uniform(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Uniform in -1..1 with 24 bits, float32."""
    count = int(np.prod(shape))
    seed = int.from_bytes(hashlib.sha256(f"parity-sd15-v1:{name}".encode()).digest()[:8], "little")
    words = np.random.PCG64(seed).random_raw((count + 1) // 2).astype("<u8").view("<u4")[:count]
    return (((words >> np.uint32(8)).astype(np.int32) - 2**23) * np.float32(2.0**-23)).astype(np.float32).reshape(shape)


def recorded_encoder() -> TextEncoder:
    """SD1's text encoder, 123 million random weights."""
    weights: dict[str, np.ndarray] = {}

    def spread(name: str, shape: tuple[int, ...], deviation: float) -> None:
        weights[name] = uniform(PREFIX + name, shape) * np.float32(deviation * 3.0**0.5)

    def linear(name: str, inputs: int, outputs: int, gain: float) -> None:
        spread(f"{name}.weight", (outputs, inputs), gain / inputs**0.5)
        spread(f"{name}.bias", (outputs,), 0.02)

    def norm(name: str) -> None:
        eighth = np.float32(0.125)
        weights[f"{name}.weight"] = 1 + uniform(f"{PREFIX}{name}.weight", (WIDTH,)) * eighth
        weights[f"{name}.bias"] = uniform(f"{PREFIX}{name}.bias", (WIDTH,)) * eighth

    spread("embeddings.token_embedding.weight", (VOCABULARY, WIDTH), 1.0)
    spread("embeddings.position_embedding.weight", (LENGTH, WIDTH), 0.4)
    for number in range(LAYERS):
        layer = f"encoder.layers.{number}"
        norm(f"{layer}.layer_norm1")
        norm(f"{layer}.layer_norm2")
        for part, gain in (("q_proj", 1.2), ("k_proj", 1.2), ("v_proj", 1.0), ("out_proj", 0.8)):
            linear(f"{layer}.self_attn.{part}", WIDTH, WIDTH, gain)
        linear(f"{layer}.mlp.fc1", WIDTH, FEED_FORWARD, 1.0)
        linear(f"{layer}.mlp.fc2", FEED_FORWARD, WIDTH, 0.6)
    norm("final_layer_norm")

    with torch.device("meta"):
        module = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=VOCABULARY,
                hidden_size=WIDTH,
                intermediate_size=FEED_FORWARD,
                num_hidden_layers=LAYERS,
                num_attention_heads=12,
                hidden_act="quick_gelu",
            )
        )
    encoder = TextEncoder(SD1.text_encoders[0], module)
    tensors = {name: torch.from_numpy(values.astype(np.float16).astype(np.float32)) for name, values in weights.items()}
    encoder.transformer.load_state_dict(tensors, strict=False, assign=True)
    assert {name.removeprefix("text_model.") for name, _ in encoder.named_parameters()} == set(tensors)
    module.eval().requires_grad_(False)
    return encoder


class ParityWord:
    """The embedding `parity-ti` of three vectors."""

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids = list(ids)
        self.vectors: Tensor = torch.from_numpy(uniform("ti", (3, WIDTH)) * np.float32(1.5))

    def tokens(self, ids: Sequence[int]) -> TokenVectors | None:
        """Its vectors where its name stands."""
        found = list(ids[: len(self.ids)]) == self.ids
        return TokenVectors("parity-ti", len(self.ids), (self.vectors,)) if found else None
