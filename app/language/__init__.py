"""What a prompt says: its grammar, schedule, tags, styles and tokens, without torch."""

from app.language.chunks import CHUNK_LENGTH, Chunk, ChunkedText, FindWord, LearnedWord, Placed, chunked
from app.language.comments import without_comments
from app.language.grammar import Weighted, parse_attention, split_and
from app.language.plan import (
    Reading,
    Sizes,
    TextPlan,
    TextUnit,
    TokenCount,
    WeightedUnit,
    count_tokens,
    final_prompts,
    plan_text,
    plan_texts,
)
from app.language.schedule import Timing, Variant, variants
from app.language.style_book import StyleBook
from app.language.style_files import read_style_files, read_styles, style_menu, write_styles
from app.language.styles import Extracted, Style, apply_styles, extract_styles, merge_styles
from app.language.tags import LORA_KINDS, NetworkTag, Strength, cut_tags, strength
from app.language.tokens import BOS, COMMA, EOS, VOCABULARY_SIZE, Tokenizer

__all__ = [
    "BOS",
    "CHUNK_LENGTH",
    "COMMA",
    "EOS",
    "LORA_KINDS",
    "VOCABULARY_SIZE",
    "Chunk",
    "ChunkedText",
    "Extracted",
    "FindWord",
    "LearnedWord",
    "NetworkTag",
    "Placed",
    "Reading",
    "Sizes",
    "Strength",
    "Style",
    "StyleBook",
    "TextPlan",
    "TextUnit",
    "Timing",
    "TokenCount",
    "Tokenizer",
    "Variant",
    "Weighted",
    "WeightedUnit",
    "apply_styles",
    "chunked",
    "count_tokens",
    "cut_tags",
    "extract_styles",
    "final_prompts",
    "merge_styles",
    "parse_attention",
    "plan_text",
    "plan_texts",
    "read_style_files",
    "read_styles",
    "split_and",
    "strength",
    "style_menu",
    "variants",
    "without_comments",
    "write_styles",
]
