"""What a click on a card makes of the prompts: the tag and its words go in, and come out again without a trace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

import app.web

pytestmark = pytest.mark.browser

LORA = {"kind": "lora", "prompt_name": "ink", "activation_text": "", "negative_text": "", "preferred_weight": None}


@pytest.fixture(scope="module")
def script(browser: Any) -> Any:
    context = browser.new_context()
    page = context.new_page()
    page.add_script_tag(content="window.easel = {}")
    page.add_script_tag(path=Path(app.web.__file__).parent / "script" / "prompt_tags.js")
    yield page
    context.close()


def click(
    script: Page, prompt: str, negative: str = "", into_negative: bool = False, **card: object
) -> tuple[str, str]:
    changed = script.evaluate(
        "([prompt, negative, card, there]) => easel.promptTags.toggled(prompt, negative, card, there)",
        [prompt, negative, {**LORA, **card}, into_negative],
    )
    return changed["prompt"], changed["negativePrompt"]


@pytest.mark.parametrize(
    ("before", "card", "after"),
    [
        ("", {}, "<lora:ink:1>"),
        ("a cat", {}, "a cat <lora:ink:1>"),
        ("a cat ", {"preferred_weight": 0.65}, "a cat <lora:ink:0.65>"),
        ("a cat", {"activation_text": "ink style"}, "a cat <lora:ink:1> ink style"),
        ("a cat", {"kind": "hypernetwork"}, "a cat <hypernet:ink:1>"),
        ("a cat", {"prompt_name": "a.b (c)+"}, "a cat <lora:a.b (c)+:1>"),
    ],
)
def test_a_click_puts_it_in_and_a_second_takes_it_out(
    script: Page, before: str, card: dict[str, object], after: str
) -> None:
    assert click(script, before, **card) == (after, "")
    assert click(script, after, **card) == (before.strip(), "")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<lora:ink:0.5>, a cat", "a cat"),
        ("a cat, <lora:ink:0.5:1:dyn=4>, in a hat", "a cat, in a hat"),
        ("a cat <lora:ink:1> in a <lora:INK:0.2> hat", "a cat in a hat"),
        ("a <lora:inky:1> <lora:ink:1> cat", "a <lora:inky:1> cat"),
        ("a cat <lyco:ink:1>", "a cat"),
    ],
)
def test_it_is_taken_out_in_whatever_form_it_stands(script: Page, before: str, after: str) -> None:
    assert click(script, before) == (after, "")


def test_the_negative_text_goes_to_the_negative_prompt_once(script: Page) -> None:
    card = {"negative_text": "blurry, grey", "activation_text": "ink"}
    prompts = click(script, "a cat", "ugly", **card)
    assert prompts == ("a cat <lora:ink:1> ink", "ugly (blurry, grey:1)")
    assert click(script, *prompts, **card) == ("a cat", "ugly")
    assert click(script, "", "(blurry, grey:1)", **card) == ("<lora:ink:1> ink", "(blurry, grey:1)")


def test_an_embedding_is_its_name_in_the_box_that_was_last_used(script: Page) -> None:
    card = {"kind": "embedding", "prompt_name": "bad-hand"}
    assert click(script, "a cat", "ugly", **card) == ("a cat bad-hand", "ugly")
    assert click(script, "a cat", "ugly", True, **card) == ("a cat", "ugly bad-hand")
    assert click(script, "a cat", "ugly, bad-hand, old", True, **card) == ("a cat", "ugly, old")
    assert click(script, "a bad-handle", "", **card) == ("a bad-handle bad-hand", "")
    assert script.evaluate("card => easel.promptTags.has('ugly, (Bad-Hand:1.2)', card)", {**LORA, **card})


def test_a_trigger_word_is_put_in_once(script: Page) -> None:
    def with_word(text: str, word: str) -> object:
        return script.evaluate("([text, word]) => easel.promptTags.withWord(text, word)", [text, word])

    assert with_word("", "ann") == "ann"
    assert with_word("a cat, ", "ann") == "a cat, ann"
    assert with_word("a cat, Ann", "ann") == "a cat, Ann"
    assert with_word("annual", "ann") == "annual, ann"
