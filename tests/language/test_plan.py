"""From two prompts to units: what is part of what, and what is refused before any work."""

from __future__ import annotations

import pytest

from app.language import (
    NetworkTag,
    Reading,
    Sizes,
    Style,
    TextUnit,
    Timing,
    TokenCount,
    Tokenizer,
    Variant,
    count_tokens,
    final_prompts,
    plan_texts,
)
from app.schema.errors import InvalidPrompt

READING = Reading(Timing(10))


def test_a_plain_prompt_is_one_unit_of_weight_one() -> None:
    plan = plan_texts("a cat", "a dog", READING)
    assert plan.positive == ((TextUnit((Variant(10, "a cat"),)), 1.0),)
    assert plan.negative == TextUnit((Variant(10, "a dog"),), negative=True)
    assert plan.tags == ()


def test_tags_are_cut_and_then_and_and_editing_are_read() -> None:
    plan = plan_texts("a <lora:x:1>[b:c:4] AND d:0.5", "", READING)
    assert plan.tags == (NetworkTag("lora", ("x", "1")),)
    assert [(unit.variants, weight) for unit, weight in plan.positive] == [
        ((Variant(4, "a b"), Variant(10, "a c")), 1.0),
        ((Variant(10, " d"),), 0.5),
    ]


def test_in_the_negative_prompt_tags_and_and_are_text_but_editing_is_not() -> None:
    plan = plan_texts("", "<lora:x:1> AND [b:c:4]", READING)
    assert plan.negative.variants == (Variant(4, "<lora:x:1> AND b"), Variant(10, "<lora:x:1> AND c"))
    assert plan.tags == ()


def test_units_compare_by_everything_that_changes_their_encoding() -> None:
    def unit(**changes: object) -> TextUnit:
        return plan_texts("a", "", Reading(Timing(10), **changes)).positive[0].unit  # type: ignore[arg-type]

    assert unit() == unit()
    assert hash(unit()) == hash(unit())
    different = [unit(), unit(emphasis="None"), unit(clip_skip=2), unit(sizes=Sizes(8, 8)), unit(comma_backtrack=0)]
    assert len(set(different)) == 5


def test_the_two_prompts_have_their_own_aesthetic_score() -> None:
    plan = plan_texts("a", "b", Reading(Timing(10), sizes=Sizes(64, 32)))
    assert plan.positive[0].unit.sizes == Sizes(64, 32, aesthetic_score=6.0)
    assert plan.negative.sizes == Sizes(64, 32, aesthetic_score=2.5)


@pytest.mark.parametrize(
    ("prompt", "negative", "field"), [("(a:1..2)", "", "prompt"), ("", "(a:1..2)", "negative_prompt")]
)
def test_what_cannot_be_read_is_refused_with_its_field(prompt: str, negative: str, field: str) -> None:
    with pytest.raises(InvalidPrompt) as caught:
        plan_texts(prompt, negative, READING)
    assert caught.value.field == field


def test_without_emphasis_a_wrong_weight_is_only_text() -> None:
    plan = plan_texts("(a:1..2)", "", Reading(Timing(10), emphasis="None"))
    assert not plan.positive[0].unit.attention


def test_styles_come_before_comments() -> None:
    styles = [Style("S", "{prompt}, oil # paint", "blurry")]
    assert final_prompts("a cat", "dog # no", ["S"], styles) == ("a cat, oil \n", "dog \n")


@pytest.mark.parametrize(
    ("prompt", "count"),
    [
        ("", TokenCount(0, 75)),
        ("a photo of a cat", TokenCount(5, 75)),
        ("cat " * 75, TokenCount(75, 75)),
        ("cat " * 76, TokenCount(76, 150)),
        ("a BREAK b", TokenCount(76, 150)),
        ("cat # not counted", TokenCount(1, 75)),
        ("cat <lora:not counted:1>", TokenCount(1, 75)),
        ("cat AND a big dog", TokenCount(3, 75)),
        ("[cat:a big dog:5]", TokenCount(3, 75)),
        ("((cat:1.2))", TokenCount(1, 75)),
    ],
)
def test_the_counter_shows_the_longest_text(prompt: str, count: TokenCount) -> None:
    assert count_tokens(prompt, Tokenizer(), READING) == count


def test_the_counter_counts_tags_where_they_are_text() -> None:
    assert count_tokens("<lora:x:1>", Tokenizer(), READING, negative=True).tokens > 1


def test_a_megabyte_of_any_text_is_planned() -> None:
    for text in ("a" * 10**6, "\0" * 10**6, "猫🐱" * 10**5, "[" * 10**6):
        assert plan_texts(text, "", READING).positive
