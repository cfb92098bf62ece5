"""Chunks: a text cut into pieces of 75 tokens, each token with its weight.

AUTOMATIC1111's rules (a1111-facts 2.7), from text to numbers. Knows no encoder and no vectors: of a learned
word (textual inversion) only how many tokens it replaces and how many rows it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from app.language.grammar import Weighted, parse_attention
from app.language.tokens import COMMA, Tokenizer
from app.schema.errors import InvalidPrompt

CHUNK_LENGTH: Final = 75
"""Tokens of one chunk between BOS and EOS."""
COMMA_BACKTRACK: Final = 20
"""How far back a comma may lie for a full chunk to be broken there; 0: never."""
LONGEST_WORD: Final = 256
"""Tokens that a learned word is looked for in."""


class LearnedWord(Protocol):
    """A learned word found in a text. length: tokens of the text it replaces. rows: tokens it takes in the chunk."""

    @property
    def name(self) -> str: ...
    @property
    def length(self) -> int: ...
    @property
    def rows(self) -> int: ...


FindWord = Callable[[Sequence[int]], LearnedWord | None]
"""Given the token ids from some place on, the longest learned word that begins there."""


class Placed(NamedTuple):
    """A learned word in a chunk. place: of its first row, 0 ... 74."""

    place: int
    word: LearnedWord


class Chunk(NamedTuple):
    """At most 75 token ids with a weight each, without BOS, EOS and padding; ids under learned words are 0."""

    tokens: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()
    words: tuple[Placed, ...] = ()


class ChunkedText(NamedTuple):
    """A text in chunks, at least one, which may be empty.

    token_count: as the counter counts: every chunk but the last is full, and so is one that BREAK ends.
    """

    chunks: tuple[Chunk, ...]
    token_count: int


@dataclass
class _Writing:
    """Chunks being filled. last_comma: place after which the current chunk may be broken, or None."""

    backtrack: int
    chunks: list[Chunk] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    words: list[Placed] = field(default_factory=list)
    last_comma: int | None = None

    def end_chunk(self) -> None:
        self.chunks.append(Chunk(tuple(self.tokens), tuple(self.weights), tuple(self.words)))
        self.tokens, self.weights, self.words, self.last_comma = [], [], [], None

    def make_room(self, token: int) -> None:
        """Before a token: remember commas, and end a full chunk, where it may be after its last comma."""
        if token == COMMA:
            self.last_comma = len(self.tokens)
        if len(self.tokens) < CHUNK_LENGTH:
            return
        moved_tokens: list[int] = []
        moved_weights: list[float] = []
        if token != COMMA and self.last_comma is not None and len(self.tokens) - self.last_comma <= self.backtrack:
            # As in A1111 a learned word's vectors stay behind when its place moves on.
            cut = self.last_comma + 1
            moved_tokens, moved_weights = self.tokens[cut:], self.weights[cut:]
            del self.tokens[cut:], self.weights[cut:]
        self.end_chunk()
        self.tokens, self.weights = moved_tokens, moved_weights

    def add(self, token: int, weight: float) -> None:
        self.tokens.append(token)
        self.weights.append(weight)

    def add_word(self, word: LearnedWord, weight: float) -> None:
        if word.rows > CHUNK_LENGTH:
            raise InvalidPrompt(
                f"The embedding {word.name} takes {word.rows} tokens; a prompt holds {CHUNK_LENGTH} in one piece.",
                hint="Leave it out, or train one with fewer vectors.",
            )
        if len(self.tokens) + word.rows > CHUNK_LENGTH:
            self.end_chunk()
        self.words.append(Placed(len(self.tokens), word))
        self.tokens += [0] * word.rows
        self.weights += [weight] * word.rows


def chunked(
    text: str,
    tokenizer: Tokenizer,
    *,
    attention: bool = True,
    find_word: FindWord | None = None,
    comma_backtrack: int = COMMA_BACKTRACK,
) -> ChunkedText:
    """Cut one text, without scheduling or AND, into chunks.

    attention: False reads brackets, numbers and BREAK word for word (emphasis mode None).
    Raises InvalidPrompt for a weight that is no number and for a learned word of more than 75 rows.
    """
    writing = _Writing(comma_backtrack)
    for piece in parse_attention(text) if attention else (Weighted(text, 1.0),):
        if piece.is_break:
            writing.end_chunk()
            continue
        tokens = tokenizer.encode(piece.text)
        place = 0
        while place < len(tokens):
            writing.make_room(tokens[place])
            word = find_word(tokens[place : place + LONGEST_WORD]) if find_word else None
            if word is None:
                writing.add(tokens[place], piece.weight)
                place += 1
            else:
                writing.add_word(word, piece.weight)
                place += word.length
    token_count = CHUNK_LENGTH * len(writing.chunks) + len(writing.tokens)
    if writing.tokens or not writing.chunks:
        writing.end_chunk()
    return ChunkedText(tuple(writing.chunks), token_count)
