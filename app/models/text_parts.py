"""Text parts: where each text encoder of a checkpoint lies, in its own file or in one chosen to lend it.

Knows names and families; reads no weights and builds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from app.files import CHECKPOINT, recognise
from app.models.families import FAMILIES, Family, TextEncoderFacts
from app.models.file_facts import FileFacts, read_facts
from app.models.named_weights import NamedWeights, renamed
from app.models.shapes import below
from app.models.weights import Weights
from app.schema.errors import UnsupportedModel

# The token table, by which a file with a text encoder alone is known: today's, early and OpenCLIP's name of it.
_TABLES = (
    "text_model.embeddings.token_embedding.weight",
    "embeddings.token_embedding.weight",
    "token_embedding.weight",
)


class Shaped(NamedTuple):
    """As much of a tensor as `recognise` looks at."""

    shape: tuple[int, ...]


class TextPart(NamedTuple):
    """One text encoder. file: has its tensors below the family's prefix. heads, activation: None where unsaid."""

    file: Weights
    heads: int | None
    activation: str | None


def text_parts(file: Weights, family: Family, facts: FileFacts, lenders: Sequence[Weights]) -> tuple[TextPart, ...]:
    """Every text encoder of the family, from the file itself or else the first lender that has it.

    lenders: checkpoints of any family with the same encoder, or files with one encoder alone.
    Raises UnsupportedModel naming what is missing and what to do.
    """
    return tuple(_part(file, family, facts, number, lenders) for number in range(len(family.text_encoders)))


def _part(file: Weights, family: Family, facts: FileFacts, number: int, lenders: Sequence[Weights]) -> TextPart:
    wanted = family.text_encoders[number]
    if _has(file, wanted.prefix):
        return _with_facts(file, facts, number)
    for lender in lenders:
        lent = _lent(lender, wanted, alone=len(family.text_encoders) == 1)
        if lent is not None:
            return lent
    several = len(family.text_encoders) > 1
    which = f"the text encoder {wanted.name}" if several else "text encoder"
    without = f" Neither has {', '.join(lender.path.name for lender in lenders)}." if lenders else ""
    raise UnsupportedModel(
        f"{file.path.name} holds {'not ' if several else 'no '}{which} (no tensor named {wanted.prefix}*).{without}",
        hint=f"Choose a complete {family.name} checkpoint to take it from, or a version of this one that is complete.",
    )


def _lent(lender: Weights, wanted: TextEncoderFacts, alone: bool) -> TextPart | None:
    """The encoder below the prefix that the borrower's family gives it, or None when the lender does not have it."""
    found = recognise({name: Shaped(shape) for name, shape in lender.shapes.items()}, lender.metadata)
    family = FAMILIES.get(lender.family or found.family) if found.kind == CHECKPOINT else None
    if family is not None:
        for number, owned in enumerate(family.text_encoders):
            if owned.name == wanted.name and _has(lender, owned.prefix):
                facts = read_facts(lender.path, lender.shapes, lender.metadata)
                return _with_facts(_moved(lender, owned.prefix, wanted.prefix), facts, number)
        return None
    table = next((lender.shapes[name] for name in _TABLES if name in lender.shapes), ())
    if len(table) == 2 and (alone or table[1] == wanted.width):
        return TextPart(_moved(lender, "", wanted.prefix), None, None)
    return None


def _moved(file: Weights, old: str, new: str) -> NamedWeights:
    return renamed(file, {new + name: old + name for name in below(file.shapes, old)})


def _with_facts(file: Weights, facts: FileFacts, number: int) -> TextPart:
    heads = facts.text_heads[number] if number < len(facts.text_heads) else None
    activation = facts.text_activations[number] if number < len(facts.text_activations) else None
    return TextPart(file, heads, activation)


def _has(file: Weights, prefix: str) -> bool:
    return any(name.startswith(prefix) for name in file.shapes)
