"""Emphasis, BREAK and AND: how much each part of a prompt counts.

`(cat)`, `[cat]` and `(cat:1.3)` as AUTOMATIC1111 reads them (a1111-facts 2.2, 2.4), in time linear in the text.
Knows nothing of schedules, tokens or models.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from app.schema.errors import InvalidPrompt

ROUND: Final = 1.1
"""What a pair of round brackets multiplies by; a pair of square ones divides by it."""
_EXACT_DEPTH: Final = 32

_TOKEN: Final = re.compile(
    r"\\[()\[\]\\]|\\|[(\[]|:\s*(?P<weight>[+-]?[.\d]+)\s*\)|[)\]]|[^\\()\[\]:]+|:",
)
_BREAK: Final = re.compile(r"\bBREAK\b")
_AND: Final = re.compile(r"\bAND\b")
_NUMBER: Final = re.compile(r"[-+]?(?:\d+\.?|\d*\.\d+)")


class Weighted(NamedTuple):
    """A piece of text and how much it counts (1: as it is)."""

    text: str
    weight: float

    @property
    def is_break(self) -> bool:
        """Whether this ends a chunk; at any other weight BREAK is an ordinary word."""
        return self.text == "BREAK" and self.weight == -1


@dataclass(slots=True)
class _Bracket:
    """One opening bracket. closed: orders the brackets by when they end. total: factor with all around it."""

    factor: float
    closed: int
    around: _Bracket | None
    total: float = 1.0


class _Piece(NamedTuple):
    text: str
    weight: float
    round: _Bracket | None
    square: _Bracket | None


def parse_attention(text: str) -> tuple[Weighted, ...]:
    """The pieces of a text with their weights, neighbours of equal weight joined; never empty.

    Nested weights multiply. Unclosed brackets reach to the end; closers without an opener are text. Round and
    square brackets pair up apart from each other: in `(a [b) c]` both hold b.
    Raises InvalidPrompt, naming the place, for a weight that is no number, such as `(cat:1.2.3)`.
    """
    pieces: list[_Piece] = []
    brackets: list[_Bracket] = []
    rounds: list[_Bracket] = []
    squares: list[_Bracket] = []
    for match in _TOKEN.finditer(text):
        token, place = match[0], match.start()
        if token in ("(", "["):
            # What is never closed ends after everything else: first the round ones, in the order they opened.
            kind, factor, never = (rounds, ROUND, 1) if token == "(" else (squares, 1 / ROUND, 2)
            kind.append(_Bracket(factor, place + never * len(text), kind[-1] if kind else None))
            brackets.append(kind[-1])
        elif token == ")" and rounds:
            rounds.pop().closed = place
        elif token == "]" and squares:
            squares.pop().closed = place
        elif match["weight"] is not None and rounds:
            bracket = rounds.pop()
            bracket.closed, bracket.factor = place, _weight(match["weight"], text, match)
        else:
            inside = (rounds[-1] if rounds else None, squares[-1] if squares else None)
            if token.startswith("\\"):
                pieces.append(_Piece(token[1:], 1.0, *inside))
            else:
                pieces.extend(_Piece(part, weight, *inside) for part, weight in _split_at_breaks(token))
    for bracket in brackets:
        bracket.total = bracket.factor * (bracket.around.total if bracket.around else 1.0)
    return tuple(_joined(pieces)) or (Weighted("", 1.0),)


def split_and(prompt: str) -> tuple[Weighted, ...]:
    """The parts of a prompt between the words AND, each with its guidance weight.

    A part may end in `:weight`, a lone prompt too; white space before that or at the end is dropped.
    """
    return tuple(_guidance_weight(part) for part in _AND.split(prompt))


def _guidance_weight(part: str) -> Weighted:
    before, colon, number = part.rpartition(":")
    if colon and _NUMBER.fullmatch(number.strip()):
        return Weighted(before.rstrip(), _finite(float(number), part))
    return Weighted(part.rstrip(), 1.0)


def _split_at_breaks(text: str) -> Iterator[Weighted]:
    """Texts at weight 1 and BREAKs at -1, by turns; the white space around a BREAK is dropped."""
    parts = _BREAK.split(text)
    last = len(parts) - 1
    for number, part in enumerate(parts):
        if number > 0:
            yield Weighted("BREAK", -1.0)
            part = part.lstrip()
        yield Weighted(part.rstrip() if number < last else part, 1.0)


def _joined(pieces: list[_Piece]) -> Iterator[Weighted]:
    texts: list[str] = []
    weight = 1.0
    inside: tuple[_Bracket | None, _Bracket | None] = (None, None)
    factor = 1.0
    for piece in pieces:
        if piece.round is not inside[0] or piece.square is not inside[1]:
            inside = (piece.round, piece.square)
            factor = _factor(piece)
        its_weight = _finite(piece.weight * factor, piece.text)
        if texts and its_weight != weight:
            yield Weighted("".join(texts), weight)
            texts = []
        weight = its_weight
        texts.append(piece.text)
    if texts:
        yield Weighted("".join(texts), weight)


def _factor(piece: _Piece) -> float:
    """Product of the factors of all brackets around a piece.

    In the order in which the brackets close, as A1111 multiplies, so that the last bit agrees and equal weights
    are seen to be equal. Past 32 levels the order is given up, for the sake of linear time.
    """
    ordered: list[tuple[int, float]] = []
    beyond = 1.0
    for innermost in (piece.round, piece.square):
        bracket = innermost
        for _ in range(_EXACT_DEPTH):
            if bracket is None:
                break
            ordered.append((bracket.closed, bracket.factor))
            bracket = bracket.around
        beyond *= bracket.total if bracket else 1.0
    product = 1.0
    for _, factor in sorted(ordered):
        product *= factor
    return product * beyond


def _weight(number: str, text: str, match: re.Match[str]) -> float:
    try:
        return _finite(float(number), match[0])
    except ValueError:
        shown = text[max(match.start() - 20, 0) : match.end()]
        raise InvalidPrompt(
            f"The weight {number} in “{shown}” (character {match.start('weight') + 1}) is not a number.",
            hint="Write one number, as in (cat:1.2), or \\( and \\) for brackets that are only text.",
        ) from None


def _finite(weight: float, text: str) -> float:
    if math.isfinite(weight):
        return weight
    raise InvalidPrompt(
        f"The weight of “{text[:40]}” is too large to be a number.",
        hint="Use fewer brackets or a smaller weight; useful weights lie between 0 and 2.",
    )
