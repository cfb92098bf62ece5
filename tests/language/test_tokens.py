"""CLIP's tokenizer against transformers', against known ids, and under strange text."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CLIPTokenizer

import app.language.tokens as tokens_module
from app.language import BOS, COMMA, EOS, VOCABULARY_SIZE, Tokenizer
from app.language.plain_text import plain_text


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer()


@pytest.fixture(scope="module")
def reference() -> CLIPTokenizer:
    """transformers' own class over the same merges, with the vocabulary built by the published recipe."""
    file = Path(tokens_module.__file__).with_name("clip_merges.txt.gz")
    merges = [tuple(line.split(" ")) for line in gzip.decompress(file.read_bytes()).decode().splitlines()]
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(byte) for byte in printable]
    letters += [chr(256 + place) for place, _ in enumerate(byte for byte in range(256) if byte not in printable)]
    words = letters + [letter + "</w>" for letter in letters] + ["".join(pair) for pair in merges]
    words += ["<|startoftext|>", "<|endoftext|>"]
    made = CLIPTokenizer(vocab={word: place for place, word in enumerate(words)}, merges=merges, model_max_length=77)
    assert len(made) == VOCABULARY_SIZE
    return made


def test_a_sentence_has_the_ids_that_clip_gives_it(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("a photo of an astronaut riding a horse on mars")
    assert ids == [320, 1125, 539, 550, 18376, 6765, 320, 4558, 525, 7496]


def test_the_constants_are_what_the_vocabulary_says(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("<|startoftext|>a<|endoftext|>") == [BOS, 320, EOS]
    assert tokenizer.encode("a, b") == [320, COMMA, 321]


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "A CAT", "don't you'll I'm we've they're he'd it's", "123 4567 ½ ² Ⅷ", "score_9, score_8_up, 1girl",
        "émigré café naïve", "猫の写真 🐱👨‍👩‍👧", "a\tb\r\nc", "<html> & ()[]:|\\", "!!!'s??", "xyzzyplugh" * 30,
        "İstanbul", "नमस्ते", "ก็", "a\u200db", "e\u0301", "\u00a0nbsp\u3000wide",
    ],
)  # fmt: skip
def test_ids_equal_transformers(tokenizer: Tokenizer, reference: CLIPTokenizer, text: str) -> None:
    assert tokenizer.encode(text) == reference(text, add_special_tokens=False)["input_ids"]


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60))
def test_any_text_made_plain_has_transformers_ids(tokenizer: Tokenizer, reference: CLIPTokenizer, text: str) -> None:
    plain = plain_text(text).lower()
    assert tokenizer.encode(text) == reference(plain, add_special_tokens=False)["input_ids"]


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=0x24F, exclude_categories=["Cc"]), max_size=60))
def test_latin_text_needs_no_repair(tokenizer: Tokenizer, reference: CLIPTokenizer, text: str) -> None:
    if plain_text(text) == text:
        assert tokenizer.encode(text) == reference(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize(
    ("text", "count"),
    [("a" * 10**6, 125_001), ("\0" * 10**6, 0), ("🐱" * 10_000, 10_000), ("猫 " * 10_000, 30_000), ("\ud83d", 1)],
)
def test_strange_and_huge_text_is_only_text(tokenizer: Tokenizer, text: str, count: int) -> None:
    assert len(tokenizer.encode(text)) == count


def test_importing_the_language_brings_no_torch_and_builds_no_vocabulary() -> None:
    program = (
        "import sys, app.language\n"
        "loaded = {'torch', 'transformers', 'diffusers', 'tokenizers'} & set(sys.modules)\n"
        "raise SystemExit(str(loaded) if loaded else 0)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
