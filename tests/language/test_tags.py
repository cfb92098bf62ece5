"""Network tags: A1111's recorded answers, strengths, and hostile text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.language import NetworkTag, Strength, cut_tags, strength
from app.schema.errors import InvalidPrompt
from tests.language.golden import golden
from tests.language.timing import growth


@pytest.mark.parametrize("case", golden("prompts_extra_networks.json"), ids=lambda case: case["prompt"])
def test_tags_are_cut_as_a1111_cuts_them(case: dict[str, Any]) -> None:
    text, tags = cut_tags(case["prompt"])
    assert text == case["cleaned"]
    kinds: dict[str, list[dict[str, Any]]] = {}
    for tag in tags:
        entry = {"items": list(tag.arguments), "positional": list(tag.positional), "named": tag.named}
        kinds.setdefault(tag.kind, []).append(entry)
    assert kinds == case["networks"]


@pytest.mark.parametrize("case", golden("prompts.json"), ids=lambda case: case["prompt"])
def test_prompts_without_tags_stay_whole(case: dict[str, Any]) -> None:
    assert cut_tags(case["prompt"])[0] == case["extra_networks"]["prompt"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("<lora:foo>", Strength("foo", 1, 1)),
        ("<lora:foo:0.8>", Strength("foo", 0.8, 0.8)),
        ("<lora:foo:1:0.5:8>", Strength("foo", 1, 0.5, 8)),
        ("<lora:foo:te=0.5:unet=1>", Strength("foo", 0.5, 1)),
        ("<lora:foo:te=0.5>", Strength("foo", 0.5, 0.5)),
        ("<lora:foo:0.3:dyn=4>", Strength("foo", 0.3, 0.3, 4)),
        ("<hypernet:foo:-0.5>", Strength("foo", -0.5, -0.5)),
    ],
)
def test_a_tag_says_how_strongly(text: str, wanted: Strength) -> None:
    _, (tag,) = cut_tags(text)
    assert strength(tag) == wanted
    assert str(tag) == text


@pytest.mark.parametrize("text", ["<lora:foo:strong>", "<lora:foo:nan>", "<lora:foo:unet=>", "<lora:foo:1:1:inf>"])
def test_a_strength_that_is_no_number_is_named(text: str) -> None:
    _, (tag,) = cut_tags(text)
    with pytest.raises(InvalidPrompt, match="is not a number") as caught:
        strength(tag)
    assert text in str(caught.value)


@pytest.mark.parametrize("unit", ["<a:", "<", "<lora:x:1>", "<a", "<a:>"])
def test_ten_times_the_tags_take_at_most_fifteen_times_as_long(unit: str) -> None:
    assert growth(cut_tags, unit) < 15


@given(st.text(alphabet="<>:=ab1 \n", max_size=40))
def test_what_is_cut_and_what_is_left_make_the_prompt(prompt: str) -> None:
    text, tags = cut_tags(prompt)
    assert len(text) + sum(len(str(tag)) for tag in tags) == len(prompt)
    assert all(isinstance(tag, NetworkTag) and tag.arguments for tag in tags)
