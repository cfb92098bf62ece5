"""Prompt editing: A1111's recorded answers, a1111-facts 2.10 line by line, and hostile text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.language import Timing, Variant, variants
from app.schema.errors import InvalidPrompt
from tests.language.golden import golden
from tests.language.timing import growth

RECORDED = golden("prompts.json")


def texts(prompt: str, timing: Timing) -> list[tuple[int, str]]:
    return [tuple(variant) for variant in variants(prompt, timing)]


def recorded(case: dict[str, Any], answer: Any, steps: int) -> list[tuple[int, str]]:
    return [(steps, case["prompt"])] if answer == "unchanged" else [tuple(entry) for entry in answer]


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case["prompt"])
def test_editing_is_read_as_a1111_reads_it(case: dict[str, Any]) -> None:
    prompt = case["prompt"]
    for steps in (10, 20, 30):
        assert texts(prompt, Timing(steps)) == recorded(case, case["schedule"][str(steps)], steps)
    hires = recorded(case, case["schedule_hires_base20_hires10"], 10)
    assert texts(prompt, Timing(10, first_pass=20)) == hires
    assert texts(prompt, Timing(20, old_rule=True)) == recorded(case, case["schedule_old_20"], 20)


@pytest.mark.parametrize(
    ("prompt", "steps", "expected"),
    [
        ("[cat:dog:1.0]", 10, [(10, "cat")]),
        ("[cat:dog:-1]", 10, [(10, "dog")]),
        ("[a:b: 5 ]", 10, [(5, "a"), (10, "b")]),
        ("[a: b:+3]", 10, [(3, "a"), (10, " b")]),
        ("[[a:b:2]:c:6]", 10, [(2, "a"), (6, "b"), (10, "c")]),
        ("(a [b:c:5]:1.3)", 10, [(5, "(a b:1.3)"), (10, "(a c:1.3)")]),
        ("[a:b:5.]", 6, [(6, "a")]),
        ("[a:b:1e1]", 20, [(10, "a"), (20, "b")]),
        ("[a:[b|c]:5]", 6, [(1, "a"), (2, "a"), (3, "a"), (4, "a"), (5, "a"), (6, "c")]),
        ("x [a:b:5] [c", 6, [(5, "x a [c"), (6, "x b [c")]),
        ("x [a:b:5] :) c]", 6, [(5, "x a :) c]"), (6, "x b :) c]")]),
        ("[cat:dog:0.55]", 20, [(11, "cat"), (20, "dog")]),
        ("[cat:dog:0.999]", 20, [(19, "cat"), (20, "dog")]),
        ("[cat:dog:0.01]", 20, [(20, "dog")]),
        ("[a:b:1e999]", 6, [(6, "a")]),
        ("[a:b:-1e999]", 6, [(6, "b")]),
    ],
)
def test_each_rule_of_editing(prompt: str, steps: int, expected: list[tuple[int, str]]) -> None:
    assert texts(prompt, Timing(steps)) == expected


@pytest.mark.parametrize(
    "prompt",
    [
        "[a:b]", "[a:b:c]", "[a:b:c:4]", "[a:b:5", "a:b:5]", r"\[a:b:5\]", "[a|b:5]", "[a:b:c|d]", "[a:b:5%]",
        "[a:b:0.5:0.7]", "(a|b)", "(a|b) [c:d:3]", "a|b [c:d:3]", "[a:b:3]\\", "[3]", "[a:b:]", "[(a:b:c):d:3]", "",
    ],
)  # fmt: skip
def test_what_is_no_editing_stays_as_it_is(prompt: str) -> None:
    assert variants(prompt, Timing(6)) == (Variant(6, prompt),)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("[a:b:5]", [(10, "b")]),
        ("[a:b:20]", [(10, "b")]),
        ("[a:b:25]", [(5, "a"), (10, "b")]),
        ("[a:b:30]", [(10, "a")]),
        ("[a:b:0.5]", [(10, "b")]),
        ("[a:b:1.0]", [(10, "b")]),
        ("[a:b:1.5]", [(5, "a"), (10, "b")]),
    ],
)
def test_the_hires_pass_counts_on_after_the_first(prompt: str, expected: list[tuple[int, str]]) -> None:
    assert texts(prompt, Timing(10, first_pass=20)) == expected


def test_the_old_rule_times_the_hires_pass_by_the_first() -> None:
    assert texts("[a:b:0.5]", Timing(9, first_pass=6, old_rule=True)) == [(3, "a"), (6, "b")]
    assert texts("[a:b:2.5]", Timing(6, old_rule=True)) == [(2, "a"), (6, "b")]


def test_an_alternation_keeps_one_entry_for_each_call() -> None:
    read = variants("[cat|dog]", Timing(5))
    assert [variant.text for variant in read] == ["cat", "dog", "cat", "dog", "cat"]
    assert read[0].text is read[2].text


def test_deep_nesting_is_read_to_the_bottom() -> None:
    depth = 20_000
    prompt = "[" * depth + "x" + ":y:3]" * depth
    assert texts(prompt, Timing(4)) == [(3, "x"), (4, "y")]
    assert texts("(" * depth + "[a:b:2]" + ")" * depth, Timing(2)) == [(2, "(" * depth + "a" + ")" * depth)]


def test_a_schedule_of_too_much_text_is_refused() -> None:
    with pytest.raises(InvalidPrompt, match="changes 10,000 times"):
        variants("[a|b]" + "c" * 60_000, Timing(10_000))


UNITS = ["(", "[", "[]", "([)]", "[a:b:3]", "[a|b]", "([a:b:3]", "[[a:b]", "|", ":", "\\(", "word "]


@pytest.mark.parametrize("unit", UNITS)
def test_ten_times_the_brackets_take_at_most_fifteen_times_as_long(unit: str) -> None:
    timing = Timing(20)
    assert growth(lambda text: variants(text, timing), unit) < 15


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab ()[]:|.\\0123-e\n猫", max_size=40), st.integers(1, 30), st.booleans())
def test_any_text_has_a_schedule_that_covers_all_calls(prompt: str, steps: int, old_rule: bool) -> None:
    read = variants(prompt, Timing(steps, old_rule=old_rule))
    ends = [variant.end for variant in read]
    assert ends == sorted(set(ends))
    assert ends[0] >= 1
    assert ends[-1] == steps


@settings(max_examples=200, deadline=None)
@given(st.recursive(st.sampled_from(["cat", " dog", "\\[", ""]), lambda inner: st.tuples(inner, inner), max_leaves=6))
def test_well_formed_editing_leaves_no_bracket_behind(tree: Any) -> None:
    def written(node: Any) -> str:
        return node if isinstance(node, str) else f"[{written(node[0])}:{written(node[1])}:2]"

    for variant in variants(written(tree), Timing(4)):
        assert "[" not in variant.text.replace("\\[", "")
