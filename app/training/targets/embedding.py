"""Textual inversion as a target: vectors that stand in place of a word (Gal et al. 2022).

The model stays as it is. They are spliced in where a prompt names the word, as at inference; the table of tokens
takes no part.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from app.conditioning import Vocabulary
from app.language import Tokenizer
from app.models import Entry, LoadedModel, write_tensors
from app.networks import Embedding
from app.schema.errors import TrainingProblem
from app.training.targets.pickled import write_pickled

_ANY_TOKEN = 265  # the token that A1111 writes; no reader looks at it
_NAMES = {1: ("emb_params",), 2: ("clip_l", "clip_g")}


@dataclass(frozen=True)
class EmbeddingSettings:
    """name: the word, which is the file's name. vectors: tokens it takes. initial_text: spread over them, "": zeros.

    pickled: A1111's .pt; SDXL's pair is a .safetensors always, since A1111 reads it from nothing else.
    """

    name: str
    vectors: int = 1
    initial_text: str = "*"
    pickled: bool = True


class EmbeddingTarget:
    """See `Target`."""

    trains_text = True

    def __init__(self, model: LoadedModel, settings: EmbeddingSettings, tokenizer: Tokenizer) -> None:
        """Raises TrainingProblem for a name without a token."""
        ids = tokenizer.encode(settings.name)
        if not ids:
            raise TrainingProblem("A textual inversion needs a name that can be written in a prompt.", field="name")
        self._name = settings.name
        words = tokenizer.encode(settings.initial_text)
        self._vectors = tuple(
            _first(encoder.token_embedding.weight, words, settings.vectors) for encoder in model.text_encoders
        )
        self.suffix = ".pt" if settings.pickled and len(self._vectors) == 1 else ".safetensors"
        self._word = Embedding(settings.name, ids, self._vectors, "in training")
        self._on = True

    def parameters(self) -> Mapping[str, Tensor]:
        """See `Target`: [n, width] for each text encoder."""
        return {f"vectors.{number}": vectors for number, vectors in enumerate(self._vectors)}

    def rates(self) -> Mapping[str, float]:
        """See `Target`: one for all."""
        return {}

    def vocabularies(self) -> tuple[Vocabulary, ...]:
        """See `Target`."""
        return (self._word,) if self._on else ()

    def begin(self, part: int | None) -> None:
        """See `Target`: nothing is dropped."""

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """See `Target`."""
        self._on = False
        try:
            with torch.no_grad():
                yield
        finally:
            self._on = True

    def file_bytes(self) -> int:
        """See `Target`."""
        return sum(vectors.nbytes for vectors in self._vectors)

    def export(self, path: Path, metadata: Mapping[str, str]) -> Path:
        """See `Target`; float32."""
        if path.suffix == ".pt":
            return write_pickled(
                path,
                {
                    "string_to_token": {"*": _ANY_TOKEN},
                    "string_to_param": {"*": self._vectors[0]},
                    "name": self._name,
                    "step": int(metadata.get("ss_steps", 0)),
                    "sd_checkpoint": metadata.get("ss_new_sd_model_hash", "")[:10] or None,
                    "sd_checkpoint_name": metadata.get("ss_sd_model_name") or None,
                },
            )
        names = _NAMES[len(self._vectors)]
        entries = {name: _entry(vectors) for name, vectors in zip(names, self._vectors, strict=True)}
        return write_tensors(path, entries, metadata)

    def detach(self) -> None:
        """See `Target`: nothing was attached."""


def _first(table: Tensor, words: list[int], count: int) -> Tensor:
    """[count, width] float32: the text's tokens spread evenly over the vectors, zeros without a text."""
    rows = torch.zeros(count, table.shape[1], device=table.device)
    if words and not table.is_meta:
        rows = table.detach()[[words[number * len(words) // count] for number in range(count)]].float().clone()
    return rows.requires_grad_()


def _entry(tensor: Tensor) -> Entry:
    return Entry(torch.float32, tuple(tensor.shape), lambda: tensor)
