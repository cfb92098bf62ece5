"""TextEncoder: a CLIP text model run from token vectors to the hidden state that a family reads.

Knows transformers' module names and hides how they changed; knows nothing of prompts, chunks or emphasis.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from app.models.families import TextEncoderFacts


class EncodedText(NamedTuple):
    """hidden: [n, length, width]. pooled: [n, projected width], or None where the family uses none."""

    hidden: Tensor
    pooled: Tensor | None


@dataclass(frozen=True, eq=False)
class TextEncoder:
    """One text encoder with its facts; `facts` describe this file's encoder, shapes included.

    module: transformers' CLIPTextModel, or CLIPTextModelWithProjection where the file has a projection.
    """

    facts: TextEncoderFacts
    module: Any

    @property
    def transformer(self) -> Any:
        """The part with `embeddings`, `encoder` and `final_layer_norm`.

        Since transformers 5.6 CLIPTextModel is that part itself, while CLIPTextModelWithProjection still wraps it.
        """
        return self.module.text_model if hasattr(self.module, "text_model") else self.module

    @property
    def token_embedding(self) -> nn.Embedding:
        """The [vocabulary, width] table."""
        table: nn.Embedding = self.transformer.embeddings.token_embedding
        return table

    @property
    def device(self) -> torch.device:
        """Where the weights live."""
        return self.token_embedding.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision that the encoder computes in."""
        return self.token_embedding.weight.dtype

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Parameters under the names used on disk: 'text_model.encoder...', 'text_projection.weight'."""
        for name, parameter in self.module.named_parameters():
            yield self.name_on_disk(name), parameter

    def name_on_disk(self, name: str) -> str:
        """Of a parameter of the module."""
        return name if hasattr(self.module, "text_model") else f"text_model.{name}"

    def encode(
        self, vectors: Tensor, ends: Tensor | None = None, clip_skip: int = 1, *, always: bool = False
    ) -> EncodedText:
        """Run the transformer.

        vectors: [n, length, width] token vectors, before positions are added (embeddings may be mixed in).
        ends: [n] place of the end token in each row; needed where the family has a pooled vector.
        clip_skip: 1 takes the family's usual hidden state; n > 1 the n-th from the end, where the family heeds it.
        always: clip_skip is heeded by any encoder without a pooled vector, and 1 is its very last state.
        Layers past the wanted state are not computed unless the pooled vector needs them.
        """
        transformer = self.transformer
        layers = transformer.encoder.layers
        heeded = (self.facts.clip_skip and clip_skip > 1) or (always and not self.facts.pooled)
        back = clip_skip if heeded else -self.facts.hidden_layer
        wanted = max(len(layers) + 1 - back, 1)
        positions = transformer.embeddings.position_embedding.weight[: vectors.shape[1]]
        state = vectors.to(positions.dtype) + positions
        hidden = state
        for number, layer in enumerate(layers, start=1):
            if number > wanted and not self.facts.pooled:
                break
            state = layer(state, attention_mask=None, is_causal=True)
            if number == wanted:
                hidden = state
        if self.facts.final_norm:
            hidden = transformer.final_layer_norm(hidden)
        if not self.facts.pooled:
            return EncodedText(hidden, None)
        if ends is None:
            raise ValueError(f"{self.facts.name} gives a pooled vector and needs the places of the end tokens")
        rows = torch.arange(state.shape[0], device=state.device)
        at_end = transformer.final_layer_norm(state)[rows, ends.to(state.device)]
        return EncodedText(hidden, self.module.text_projection(at_end))
