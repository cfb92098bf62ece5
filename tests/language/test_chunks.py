"""Chunks of 75 tokens: A1111's recorded answers, a1111-facts 2.10, and learned words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.language import BOS, CHUNK_LENGTH, EOS, Chunk, Placed, Tokenizer, chunked
from app.schema.errors import InvalidPrompt
from tests.language.golden import golden

TOKENIZER = Tokenizer()
RECORDED = golden("prompts_tokens.json")["texts"]


class Word(NamedTuple):
    """A learned word that is looked for by the token ids of its name."""

    name: str
    rows: int

    @property
    def ids(self) -> list[int]:
        return TOKENIZER.encode(self.name)

    @property
    def length(self) -> int:
        return len(self.ids)


def finder(*words: Word) -> Any:
    def find(ids: Sequence[int]) -> Word | None:
        fitting = [word for word in words if list(ids[: word.length]) == word.ids]
        return max(fitting, key=lambda word: word.length, default=None)

    return find


def padded(chunk: Chunk) -> tuple[list[int], list[float]]:
    """As SD1's encoder reads it: BOS, tokens, and EOS to the end."""
    more = CHUNK_LENGTH + 1 - len(chunk.tokens)
    return [BOS, *chunk.tokens, *[EOS] * more], [1.0, *chunk.weights, *[1.0] * more]


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: f"{case['text'][:30]} {len(case['text'])}")
def test_chunks_are_those_of_a1111(case: dict[str, Any]) -> None:
    backtrack = case.get("comma_padding_backtrack", 20)
    find_word = finder(Word("parity-ti", 3))
    text = chunked(case["text"], TOKENIZER, find_word=find_word, comma_backtrack=backtrack)
    assert text.token_count == case["token_count"]
    assert len(text.chunks) == len(case["chunks"])
    for chunk, expected in zip(text.chunks, case["chunks"], strict=True):
        more = expected["padded_to"] - len(expected["tokens"])
        tokens, weights = padded(chunk)
        assert tokens == expected["tokens"] + [EOS] * more
        assert weights == expected["multipliers"] + [1.0] * more
        assert [[placed.place, placed.word.name] for placed in chunk.words] == expected["fixes"]


CAT = "cat " * 10


@pytest.mark.parametrize(
    ("text", "backtrack", "count", "lengths"),
    [
        ("", 20, 0, [0]),
        ("cat " * 75, 20, 75, [75]),
        ("cat " * 76, 20, 76, [75, 1]),
        (CAT * 6 + "," + CAT * 2, 20, 95, [61, 20]),
        (CAT * 6 + "," + CAT * 2, 0, 81, [75, 6]),
        ("cat " * 55 + "," + CAT * 3, 20, 105, [56, 30]),
        ("cat " * 54 + "," + CAT * 3, 20, 85, [75, 10]),
        ("cat " * 75 + ", cat", 20, 77, [75, 2]),
        ("a BREAK b", 20, 76, [1, 1]),
        ("a BREAK", 20, 75, [1]),
        ("BREAK BREAK a", 20, 151, [0, 0, 1]),
    ],
)
def test_counts_and_lengths(text: str, backtrack: int, count: int, lengths: list[int]) -> None:
    read = chunked(text, TOKENIZER, comma_backtrack=backtrack)
    assert read.token_count == count
    assert [len(chunk.tokens) for chunk in read.chunks] == lengths


def test_without_attention_everything_is_text() -> None:
    read = chunked("(cat:1.5) BREAK dog", TOKENIZER, attention=False)
    assert read.token_count == 9
    assert set(read.chunks[0].weights) == {1.0}
    assert chunked("(cat:1.2.3)", TOKENIZER, attention=False).token_count > 0


def test_a_learned_word_is_found_anywhere_in_the_text_and_the_longest_first() -> None:
    short, long = Word("easy", 2), Word("easynegative", 4)
    text = chunked("embedding:EasyNegative2, easy", TOKENIZER, find_word=finder(short, long))
    (chunk,) = text.chunks
    assert [placed.word for placed in chunk.words] == [long, short]
    assert chunk.tokens[chunk.words[0].place :][:4] == (0, 0, 0, 0)
    assert text.token_count == len(TOKENIZER.encode("embedding:")) + 4 + len(TOKENIZER.encode("2,")) + 2


def test_emphasis_weighs_every_row_of_a_learned_word() -> None:
    word = Word("blob", 3)
    (chunk,) = chunked("a (blob:1.3)", TOKENIZER, find_word=finder(word)).chunks
    assert chunk.weights == (1.0, 1.3, 1.3, 1.3)


def test_a_learned_word_that_does_not_fit_moves_whole_to_the_next_chunk() -> None:
    word = Word("blob", 5)
    first, second = chunked("cat " * 71 + "blob dog", TOKENIZER, find_word=finder(word)).chunks
    assert (len(first.tokens), first.words) == (71, ())
    assert second.words == (Placed(0, word),)
    assert len(second.tokens) == 6


def test_vectors_stay_behind_when_a_comma_breaks_the_chunk() -> None:
    """As in A1111: the places move on, as token 0, and the vectors stay where they were."""
    word = Word("blob", 2)
    first, second = chunked("cat " * 70 + ", blob cat cat dog", TOKENIZER, find_word=finder(word)).chunks
    assert (len(first.tokens), first.words) == (71, (Placed(71, word),))
    assert second.tokens[:2] == (0, 0)
    assert second.words == ()


def test_a_learned_word_longer_than_a_chunk_is_refused_by_name() -> None:
    with pytest.raises(InvalidPrompt, match="embedding blob takes 76 tokens"):
        chunked("a blob", TOKENIZER, find_word=finder(Word("blob", 76)))
    assert len(chunked("a blob", TOKENIZER, find_word=finder(Word("blob", 75))).chunks) == 2


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["cat ", "a, ", "blob ", "BREAK ", "(dog:1.2) ", "[x] ", "猫"]), max_size=120))
def test_no_chunk_overflows_and_no_word_is_lost(words: list[str]) -> None:
    text = "".join(words)
    read = chunked(text, TOKENIZER, find_word=finder(Word("blob", 7)))
    assert all(len(chunk.tokens) == len(chunk.weights) <= CHUNK_LENGTH for chunk in read.chunks)
    assert sum(len(chunk.words) for chunk in read.chunks) == words.count("blob ")
    cats = TOKENIZER.encode("cat")[0]
    assert sum(chunk.tokens.count(cats) for chunk in read.chunks) == words.count("cat ")
