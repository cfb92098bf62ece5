"""Hostile prompts: whatever is typed is read or refused in words, and time grows with the text, not with its square."""

from __future__ import annotations

import random

import pytest

from app.language import Reading, Sizes, Style, Timing, Tokenizer, count_tokens, cut_tags, final_prompts, plan_texts
from app.schema.errors import InvalidPrompt
from tests.language.timing import growth

PIECES = (
    *"()[]<>:|\\{}#,.;_-+ \t\n\r'\"`~^0123456789",
    "AND",
    " AND ",
    "BREAK",
    " BREAK ",
    "cat",
    "a dog",
    "(cat:1.2)",
    "[cat:dog:0.5]",
    "[a|b|]",
    "[x::3]",
    "<lora:a:1>",
    "<hypernet:b:te=0.5>",
    "{prompt}",
    ":1.2)",
    ":-.5)",
    ":1e9)",
    ":0.5]",
    "\\(",
    "\\\\",
    "猫",
    "e\u0301",
    "\u200b",
    "\U0001f9ff",
    "\0",
    "\ud800",
    "<|endoftext|>",
    "&amp;lt;",
)
READINGS = (
    Reading(Timing(20)),
    Reading(Timing(7, old_rule=True), emphasis="No norm", comma_backtrack=0),
    Reading(Timing(10, first_pass=20), emphasis="None", sizes=Sizes(64, 64)),
    Reading(Timing(1, first_pass=3, old_rule=True), emphasis="Ignore", comma_backtrack=74),
)
UNITS = ("(", "[", ")", "]", "([", "(a", "[a:", "[a|", "a", "a ", "a,", "<lora:", "AND ", "BREAK ", "\\(", "#", ":1)")
STYLES = (Style("s", "(best: {prompt}:1.1), # no", "[bad"), Style("t", "AND <lora:", ""))
TOKENIZER = Tokenizer()


def read_all(text: str, reading: Reading = READINGS[0]) -> None:
    """Everything that a prompt goes through before it is encoded."""
    prompt, negative = final_prompts(text, text[::-1], ("s", "t", "u"), STYLES)
    cut_tags(prompt)
    plan = plan_texts(prompt, negative, reading)
    assert plan.positive
    count_tokens(text, TOKENIZER, reading)
    count_tokens(text, TOKENIZER, reading, negative=True)


def refusal(text: str, reading: Reading) -> InvalidPrompt | None:
    """What is refused are weights such as 1.2.3 and brackets by the thousand around a text."""
    try:
        read_all(text, reading)
    except InvalidPrompt as problem:
        return problem
    return None


def require_read_or_refused(source: random.Random, texts: int) -> None:
    for number in range(texts):
        problem = refusal(random_text(source), READINGS[number % len(READINGS)])
        assert problem is None or problem.field in ("prompt", "negative_prompt", None)


def random_text(source: random.Random) -> str:
    return "".join(source.choice(PIECES) for _ in range(source.randrange(30)))


def test_no_prompt_raises_anything_but_a_refusal() -> None:
    require_read_or_refused(random.Random(30), 200)


@pytest.mark.slow
def test_no_prompt_of_a_hundred_thousand_raises_anything_but_a_refusal() -> None:
    require_read_or_refused(random.Random(31), 100_000)


@pytest.mark.slow
@pytest.mark.parametrize("unit", UNITS)
def test_time_grows_with_the_length_from_text_to_tokens(unit: str) -> None:
    assert growth(lambda text: refusal(text, READINGS[0]), unit) < 15
