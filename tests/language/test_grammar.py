"""Emphasis, BREAK and AND: A1111's recorded answers, a1111-facts 2.10 line by line, and hostile text."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.language import Weighted, parse_attention, split_and
from app.schema.errors import InvalidPrompt
from tests.language.golden import golden
from tests.language.timing import growth

RECORDED = golden("prompts.json")
BRACKETED = st.text(alphabet="ab ()[]:.,\\|12-+\n猫BREAK", max_size=40)


def weights(text: str) -> list[tuple[str, float]]:
    return [tuple(piece) for piece in parse_attention(text)]


@pytest.mark.parametrize("case", [case for case in RECORDED if "attention" in case], ids=lambda case: case["prompt"])
def test_emphasis_is_read_as_a1111_reads_it(case: dict[str, Any]) -> None:
    assert weights(case["prompt"]) == [tuple(piece) for piece in case["attention"]]


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case["prompt"])
def test_and_is_split_as_a1111_splits_it(case: dict[str, Any]) -> None:
    assert [tuple(part) for part in split_and(case["prompt"])] == [tuple(part) for part in case["multicond"]]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("(cat:.5)", [("cat", 0.5)]),
        ("(cat: 1.5 )", [("cat", 1.5)]),
        ("(cat:+1.5)", [("cat", 1.5)]),
        ("(cat:-1)", [("cat", -1.0)]),
        ("(cat:1,5)", [("cat:1,5", 1.1)]),
        ("(cat:1.5", [("cat:1.5", 1.1)]),
        ("cat:1.5)", [("cat:1.5)", 1.0)]),
        ("[cat:1.5]", [("cat:1.5", 1 / 1.1)]),
        ("(cat:1.5:2)", [("cat:1.5", 2.0)]),
        ("(a:1.5)(b:1.5)", [("ab", 1.5)]),
        ("(a (b (c:2)))", [("a ", 1.1), ("b ", 1.1 * 1.1), ("c", 2 * 1.1 * 1.1)]),
        ("((a:1.1)b)", [("a", 1.1 * 1.1), ("b", 1.1)]),
        ("(a [b) c]", [("a ", 1.1), ("b", 1 / 1.1 * 1.1), (" c", 1 / 1.1)]),
        (r"\(cat\) a\b a\\b", [("(cat) ab a\\b", 1.0)]),
        (r"(\(cat\):1.2)", [("(cat)", 1.2)]),
        ("cat\\", [("cat", 1.0)]),
        ("((cat)", [("cat", 1.1 * 1.1)]),
        ("(cat))", [("cat", 1.1), (")", 1.0)]),
        ("()", [("", 1.0)]),
        ("(:1.5)", [("", 1.0)]),
        ("a,BREAK,b", [("a,", 1.0), ("BREAK", -1.0), (",b", 1.0)]),
        ("BREAK", [("", 1.0), ("BREAK", -1.0), ("", 1.0)]),
        ("a BREAK BREAK b", [("a", 1.0), ("BREAK", -1.0), ("", 1.0), ("BREAK", -1.0), ("b", 1.0)]),
        ("aBREAK b", [("aBREAK b", 1.0)]),
    ],
)
def test_each_rule_of_the_grammar(text: str, pieces: list[tuple[str, float]]) -> None:
    assert weights(text) == pieces


def test_break_counts_only_at_weight_minus_one() -> None:
    assert Weighted("BREAK", -1.0).is_break
    assert not Weighted("BREAK", -1.3).is_break
    assert [piece.is_break for piece in parse_attention("(a BREAK b:1.0)")] == [False, True, False]
    assert not any(piece.is_break for piece in parse_attention("(a BREAK b:1.3)"))


@pytest.mark.parametrize(
    ("prompt", "parts"),
    [
        ("a cat :1.2 AND a dog :0.5", [("a cat", 1.2), (" a dog", 0.5)]),
        ("a AND b:-1", [("a", 1.0), (" b", -1.0)]),
        ("landAND b and c", [("landAND b and c", 1.0)]),
        ("score: 9", [("score", 9.0)]),
        ("a:1.2.3", [("a:1.2.3", 1.0)]),
        ("a:.5 \n", [("a", 0.5)]),
        ("::2", [(":", 2.0)]),
    ],
)
def test_and_parts_have_guidance_weights(prompt: str, parts: list[tuple[str, float]]) -> None:
    assert [tuple(part) for part in split_and(prompt)] == parts


@pytest.mark.parametrize("text", ["a photo, (cat:1.2.3) on a mat", "(:.)", "(a:...)", "(x:--1)(y:1..2)"])
def test_a_weight_that_is_no_number_is_named_with_its_place(text: str) -> None:
    with pytest.raises(InvalidPrompt) as caught:
        parse_attention(text)
    assert "is not a number" in str(caught.value)


def test_the_message_shows_where() -> None:
    with pytest.raises(InvalidPrompt, match=r"1\.2\.3 in “a photo, \(cat:1\.2\.3\)” \(character 15\)"):
        parse_attention("a photo, (cat:1.2.3) on a mat")


@pytest.mark.parametrize("text", ["(" * 8000 + "cat", "(cat:" + "9" * 400 + ")"])
def test_a_weight_beyond_all_numbers_is_refused(text: str) -> None:
    with pytest.raises(InvalidPrompt, match="too large"):
        parse_attention(text)
    with pytest.raises(InvalidPrompt, match="too large"):
        split_and("a:" + "9" * 400)


def test_a_thousand_brackets_multiply_like_ten() -> None:
    (piece,) = parse_attention("(" * 1000 + "cat" + ")" * 1000)
    assert piece.text == "cat"
    assert piece.weight == pytest.approx(1.1**1000, rel=1e-12)


UNITS = ["(", "[", ")", "[]", "[a", "([)]", "(a:1.1)", "(:1.0)", ":", "BREAK ", " ", "\\(", "AND "]


@pytest.mark.parametrize("unit", UNITS)
def test_ten_times_the_brackets_take_at_most_fifteen_times_as_long(unit: str) -> None:
    assert growth(parse_attention, unit) < 15
    assert growth(split_and, unit) < 15


@settings(max_examples=300, deadline=None)
@given(BRACKETED)
def test_no_letter_is_lost_and_neighbours_differ(text: str) -> None:
    try:
        pieces = parse_attention(text)
    except InvalidPrompt:
        return
    read = "".join(piece.text for piece in pieces)
    for letter in "ab猫,|":
        assert read.count(letter) == text.count(letter)
    assert all(one.weight != other.weight for one, other in pairwise(pieces))


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.characters(exclude_characters=":"), max_size=60))
def test_any_text_without_numbers_can_be_read(text: str) -> None:
    for part in split_and(text):
        assert part.weight == 1
        assert parse_attention(part.text)
