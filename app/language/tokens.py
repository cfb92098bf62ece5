"""CLIP's byte-pair tokenizer, offline: text in, token ids out, equal to transformers' CLIPTokenizer.

Knows nothing of chunks, weights or models. The merges beside it are OpenAI's (see NOTICE).
"""

from __future__ import annotations

import gzip
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.language.plain_text import plain_text

if TYPE_CHECKING:
    import tokenizers

BOS: Final = 49406
"""Begins each chunk: `<|startoftext|>`."""
EOS: Final = 49407
"""Ends each chunk, and pads the chunks of SD1's encoder: `<|endoftext|>`."""
COMMA: Final = 267
"""A comma that ends a word."""
VOCABULARY_SIZE: Final = 49408

_MERGES: Final = Path(__file__).with_name("clip_merges.txt.gz")
_SPECIAL: Final = ["<|startoftext|>", "<|endoftext|>"]
_WORDS: Final = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


class Tokenizer:
    """CLIP's vocabulary of 49,408 tokens; made at the first use (about 0.1 s), then shared freely between threads."""

    def encode(self, text: str) -> list[int]:
        """Token ids of a text of any length, without BOS and EOS.

        Odd Unicode is made plain and letters lowered first, as in CLIP's own reader. The texts `<|startoftext|>` and
        `<|endoftext|>` become BOS and EOS. Radford et al. 2021, section 2.4; Sennrich et al. 2016.
        """
        ids: list[int] = self._backend.encode(plain_text(text).lower(), add_special_tokens=False).ids
        return ids

    @cached_property
    def _backend(self) -> tokenizers.Tokenizer:
        # Late, so that importing app.language stays cheap for the page's start.
        from tokenizers import Regex, Tokenizer, models, pre_tokenizers  # noqa: PLC0415

        lines = gzip.decompress(_MERGES.read_bytes()).decode("utf-8").splitlines()
        merges = [(first, second) for first, _, second in (line.partition(" ") for line in lines)]
        letters = _byte_letters()
        words = [*letters, *(letter + "</w>" for letter in letters), *(a + b for a, b in merges), *_SPECIAL]
        vocabulary = {word: number for number, word in enumerate(words)}
        backend = Tokenizer(
            models.BPE(vocabulary, merges, unk_token=_SPECIAL[1], end_of_word_suffix="</w>", fuse_unk=False)
        )
        backend.add_special_tokens(_SPECIAL)
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        return backend


def _byte_letters() -> list[str]:
    """One printable letter for each of the 256 bytes, in the vocabulary's order; most bytes stand for themselves."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = len(set(range(256)) - set(printable))
    return [chr(byte) for byte in printable] + [chr(256 + number) for number in range(others)]
