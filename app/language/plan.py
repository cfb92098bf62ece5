"""From the text of a prompt to units that can be encoded: tags cut, AND split, editing laid out in time.

Values only, compared and grouped by the engine; reading them into vectors is app.conditioning's work.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.language.chunks import CHUNK_LENGTH, COMMA_BACKTRACK, FindWord, chunked
from app.language.comments import without_comments
from app.language.grammar import parse_attention, split_and
from app.language.schedule import Timing, Variant, variants
from app.language.styles import Style, apply_styles
from app.language.tags import NetworkTag, cut_tags
from app.language.tokens import Tokenizer
from app.schema.errors import InvalidPrompt


class Sizes(NamedTuple):
    """What families with size numbers (SDXL) are told about the picture, in pixels; the target is the picture itself.

    aesthetic_score: read by SDXL's refiner alone.
    """

    height: int
    width: int
    crop_top: int = 0
    crop_left: int = 0
    aesthetic_score: float = 6.0


@dataclass(frozen=True)
class Reading:
    """How prompts are to be read; everything here changes the picture.

    emphasis: 'Original', 'No norm', 'Ignore' or 'None'. clip_skip: 1 is the last layer. clip_l_skip: it holds for the
    first of SDXL's encoders too, of which 1 is then the very last layer.
    comma_backtrack: how many tokens back a comma may lie for a full chunk to be broken there; 0: never.
    sizes: None for families without size numbers. negative_aesthetic_score: the refiner's for the negative prompt.
    """

    timing: Timing
    emphasis: str = "Original"
    clip_skip: int = 1
    comma_backtrack: int = COMMA_BACKTRACK
    sizes: Sizes | None = None
    negative_aesthetic_score: float = 2.5
    clip_l_skip: bool = False


@dataclass(frozen=True)
class TextUnit:
    """One prompt, or one part of an AND, with its whole schedule: what is encoded in one piece.

    negative: part of the unit because some families read an empty negative prompt as zeros.
    """

    variants: tuple[Variant, ...]
    emphasis: str = "Original"
    clip_skip: int = 1
    comma_backtrack: int = COMMA_BACKTRACK
    sizes: Sizes | None = None
    negative: bool = False
    clip_l_skip: bool = False

    @property
    def attention(self) -> bool:
        """Whether brackets and weights have a meaning."""
        return self.emphasis != "None"


class WeightedUnit(NamedTuple):
    """A part of an AND and its guidance weight."""

    unit: TextUnit
    weight: float


class TextPlan(NamedTuple):
    """Both prompts of one pass of one image. tags: of the positive prompt, in order."""

    positive: tuple[WeightedUnit, ...]
    negative: TextUnit
    tags: tuple[NetworkTag, ...]


class TokenCount(NamedTuple):
    """What the counter beside a prompt shows. limit: 75 for each chunk begun, at least 75."""

    tokens: int
    limit: int


def final_prompts(
    prompt: str,
    negative_prompt: str,
    style_names: Sequence[str] = (),
    styles: Iterable[Style] = (),
    *,
    comments: bool = True,
) -> tuple[str, str]:
    """Both prompts as they go into the infotext: styles merged in, then comments left out, if they are comments."""
    prompt, negative_prompt = apply_styles(prompt, negative_prompt, style_names, styles)
    if not comments:
        return prompt, negative_prompt
    return without_comments(prompt), without_comments(negative_prompt)


def plan_texts(prompt: str, negative_prompt: str, reading: Reading) -> TextPlan:
    """Plan both prompts, as `final_prompts` left them. In the negative one tags and AND are ordinary text.

    Raises InvalidPrompt, its field naming the prompt at fault.
    """
    text, tags = cut_tags(prompt)
    positive = plan_text(text, reading)
    return TextPlan(positive, plan_text(negative_prompt, reading, negative=True)[0].unit, tags)


def plan_text(text: str, reading: Reading, *, negative: bool = False) -> tuple[WeightedUnit, ...]:
    """Plan one prompt without tags: the parts of its AND, of which a negative prompt has only one.

    Raises InvalidPrompt for what could not be encoded either.
    """
    try:
        parts = [(text, 1.0)] if negative else split_and(text)
        return tuple(WeightedUnit(_unit(part, reading, negative), weight) for part, weight in parts)
    except InvalidPrompt as problem:
        problem.field = "negative_prompt" if negative else "prompt"
        raise


def count_tokens(
    prompt: str, tokenizer: Tokenizer, reading: Reading, *, negative: bool = False, find_word: FindWord | None = None
) -> TokenCount:
    """Tokens of the longest text that a prompt comes to: the most over AND parts and editing (a1111-facts 2.9)."""
    text = without_comments(prompt)
    units = plan_text(text if negative else cut_tags(text)[0], reading, negative=negative)
    texts = {variant.text for unit, _ in units for variant in unit.variants}
    tokens = max(
        chunked(
            text,
            tokenizer,
            attention=reading.emphasis != "None",
            find_word=find_word,
            comma_backtrack=reading.comma_backtrack,
        ).token_count
        for text in texts
    )
    return TokenCount(tokens, CHUNK_LENGTH * max(math.ceil(tokens / CHUNK_LENGTH), 1))


def _unit(text: str, reading: Reading, negative: bool) -> TextUnit:
    texts = variants(text, reading.timing)
    if reading.emphasis != "None":
        for different in {variant.text for variant in texts}:
            parse_attention(different)
    sizes = reading.sizes
    if sizes and negative:
        sizes = sizes._replace(aesthetic_score=reading.negative_aesthetic_score)
    return TextUnit(
        texts, reading.emphasis, reading.clip_skip, reading.comma_backtrack, sizes, negative, reading.clip_l_skip
    )
