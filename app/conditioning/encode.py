"""Encoding: a unit of text becomes a ConditioningSchedule, through every text encoder of the model.

Knows chunks, padding, learned words, emphasis and CLIP skip; knows no files, no guidance and no cache. The caller
sets the inference mode.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

import torch
from torch import Tensor

from app.conditioning.conditioning import Conditioning, ConditioningSchedule
from app.conditioning.emphasis import emphasised
from app.language import CHUNK_LENGTH, Chunk, FindWord, Sizes, TextUnit, Tokenizer, chunked
from app.models import EncodedText, TextEncoder, TokenVectors

_ROWS_PER_CALL: Final = 8


class Vocabulary(Protocol):
    """Teaches words (textual inversion); see `app.networks`, which this layer does not import."""

    def tokens(self, ids: Sequence[int]) -> TokenVectors | None:
        """The vectors for a word that begins at ids[0], the longest match first."""
        ...


class _Word(NamedTuple):
    """A learned word as the chunks see it."""

    name: str
    length: int
    rows: int
    vectors: tuple[Tensor, ...]


def encode_unit(
    text_encoders: Sequence[TextEncoder],
    unit: TextUnit,
    tokenizer: Tokenizer,
    *,
    size_numbers: Sequence[str] = (),
    vocabularies: Sequence[Vocabulary] = (),
) -> ConditioningSchedule:
    """Encode all texts of a unit together; equal ones are computed once.

    size_numbers: the family's, named as in `Sizes`, with target_height and target_width for the picture itself.
    All texts get as many chunks as the longest, by empty ones. A negative unit of empty texts becomes zeros where
    the family has a pooled vector. Raises InvalidPrompt as `chunked` does.
    """
    times = Counter(variant.text for variant in unit.variants)
    find_word = _finder(vocabularies, text_encoders)
    chunks = [_chunks(text, unit, tokenizer, find_word) for text in times]
    most = max(len(row) for row in chunks)
    padded = [(*row, *[Chunk()] * (most - len(row))) for row in chunks]
    read = [_read(encoder, number, padded, unit, list(times.values())) for number, encoder in enumerate(text_encoders)]
    context = torch.cat([hidden for hidden, _ in read], dim=-1)
    pooled = next((vector for _, vector in read if vector is not None), None)
    if unit.negative and pooled is not None and not any(times):
        context, pooled = torch.zeros_like(context), torch.zeros_like(pooled)
    extra = _sizes(unit.sizes, size_numbers, context.device) if size_numbers else None
    encoded = {
        text: Conditioning(context[n : n + 1], None if pooled is None else pooled[n : n + 1], extra)
        for n, text in enumerate(times)
    }
    return ConditioningSchedule(
        tuple(variant.end for variant in unit.variants), tuple(encoded[variant.text] for variant in unit.variants)
    )


def _chunks(text: str, unit: TextUnit, tokenizer: Tokenizer, find_word: FindWord | None) -> tuple[Chunk, ...]:
    return chunked(
        text, tokenizer, attention=unit.attention, find_word=find_word, comma_backtrack=unit.comma_backtrack
    ).chunks


def _finder(vocabularies: Sequence[Vocabulary], text_encoders: Sequence[TextEncoder]) -> FindWord | None:
    """The longest word of all vocabularies; words of another width than the encoders' are no words here."""
    widths = [encoder.facts.width for encoder in text_encoders]

    def find(ids: Sequence[int]) -> _Word | None:
        found = [vectors for vocabulary in vocabularies if (vectors := vocabulary.tokens(ids)) is not None]
        fitting = [one for one in found if [rows.shape[-1] for rows in one.vectors] == widths]
        if not fitting:
            return None
        longest = max(fitting, key=lambda one: one.length)
        return _Word(longest.name, longest.length, longest.vectors[0].shape[0], longest.vectors)

    return find if vocabularies else None


def _read(
    encoder: TextEncoder, number: int, texts: Sequence[tuple[Chunk, ...]], unit: TextUnit, times: Sequence[int]
) -> tuple[Tensor, Tensor | None]:
    """What one encoder makes of all texts: hidden [texts, 77 * chunks, width], pooled [texts, width] or None."""
    different = {_identity(chunk): chunk for text in texts for chunk in text}
    row = {identity: number for number, identity in enumerate(different)}
    read = _encoded(encoder, number, list(different.values()), unit)
    often = torch.tensor(times, dtype=torch.float32, device=read.hidden.device)
    parts = []
    for chunks in zip(*texts, strict=True):
        hidden = read.hidden[[row[_identity(chunk)] for chunk in chunks]]
        weights = torch.tensor([_weights(chunk) for chunk in chunks], device=hidden.device)
        parts.append(emphasised(hidden, weights, unit.emphasis, often))
    pooled = None if read.pooled is None else read.pooled[[row[_identity(text[0])] for text in texts]]
    return torch.cat(parts, dim=1), pooled


def _identity(chunk: Chunk) -> tuple[object, ...]:
    """Equal for chunks that the encoder cannot tell apart."""
    return chunk.tokens, tuple((placed.place, placed.word.name) for placed in chunk.words)


def _encoded(encoder: TextEncoder, number: int, chunks: Sequence[Chunk], unit: TextUnit) -> EncodedText:
    """Every chunk through the transformer, a few at a time; float32 whatever the encoder computes in."""
    device = encoder.device
    hidden, pooled = [], []
    for start in range(0, len(chunks), _ROWS_PER_CALL):
        some = chunks[start : start + _ROWS_PER_CALL]
        ids = [_ids(chunk, encoder) for chunk in some]
        ends = torch.tensor([row.index(encoder.facts.end_token) for row in ids], device=device)
        vectors = encoder.token_embedding(torch.tensor(ids, device=device))
        for row, chunk in enumerate(some):
            for place, word in chunk.words:
                assert isinstance(word, _Word)
                vectors[row, place + 1 : place + 1 + word.rows] = word.vectors[number].to(vectors)
        always = unit.clip_l_skip and encoder.facts.name == "clip_l"
        answer = encoder.encode(vectors, ends, unit.clip_skip, always=always)
        hidden.append(answer.hidden.float())
        if answer.pooled is not None:
            pooled.append(answer.pooled.float())
    return EncodedText(torch.cat(hidden), torch.cat(pooled) if pooled else None)


def _ids(chunk: Chunk, encoder: TextEncoder) -> list[int]:
    """The 77 ids that an encoder reads: BOS, tokens, EOS, and after the first EOS nothing but its padding."""
    facts = encoder.facts
    ids = [facts.start_token, *chunk.tokens, facts.end_token]
    end = ids.index(facts.end_token) + 1
    return ids[:end] + [facts.pad_token] * (CHUNK_LENGTH + 2 - end)


def _weights(chunk: Chunk) -> list[float]:
    """A weight for each of the 77 vectors; 1 for BOS, EOS and padding."""
    return [1.0, *chunk.weights, *[1.0] * (CHUNK_LENGTH + 1 - len(chunk.weights))]


def _sizes(sizes: Sizes | None, names: Sequence[str], device: torch.device) -> Tensor:
    """[1, n] float32: the numbers that the family is told, in its order."""
    if sizes is None:
        raise ValueError("this family of models wants the sizes of the picture with its text")
    numbers = {**sizes._asdict(), "target_height": sizes.height, "target_width": sizes.width}
    return torch.tensor([[float(numbers[name]) for name in names]], device=device)
