"""The text as a whole: its lines, and that what was read is written again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.schema.infotext.reader import read_infotext_text
from app.schema.infotext.text import Infotext, write_infotext

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parents[2] / "golden" / "infotexts.json").read_text("utf-8"))


def test_the_layout_is_prompt_negative_prompt_and_entries() -> None:
    entries = [("Steps", 20), ("CFG scale", 7.0), ("Eta", 0.5), ("Nothing", None), ("Lora hashes", "a: 1, b: 2")]
    assert write_infotext("a cat\non a mat", "dog,\nbird", entries) == (
        'a cat\non a mat\nNegative prompt: dog,\nbird\nSteps: 20, CFG scale: 7, Eta: 0.5, Lora hashes: "a: 1, b: 2"'
    )


def test_an_empty_prompt_leaves_no_line() -> None:
    assert write_infotext("", "", [("Steps", 20)]) == "Steps: 20"
    assert write_infotext("", "dog", [("Steps", 20)]) == "Negative prompt: dog\nSteps: 20"


def test_an_entry_that_is_its_own_key_is_written_once() -> None:
    assert write_infotext("a", "", [("Tiled Diffusion", "Tiled Diffusion"), ("Tiling", True)]) == (
        "a\nTiled Diffusion, Tiling: True"
    )


def test_a_prompt_with_a_line_of_a_negative_prompt_says_how_long_it_is() -> None:
    prompt = "a\nNegative prompt: inside"
    text = write_infotext(prompt, "dog", [("Steps", 20), ("Version", "Easel 1")])
    assert text == f"{prompt}\nNegative prompt: dog\nSteps: 20, Prompt lines: 2, Version: Easel 1"
    read = read_infotext_text(text)
    assert (read.prompt, read.negative_prompt) == (prompt, "dog")


@pytest.mark.parametrize(
    "text", [case["infotext"] for case in GOLDEN["infotexts"]] + GOLDEN["pictures"], ids=lambda text: text[-60:]
)
def test_a1111s_texts_are_written_again_to_the_letter(text: str) -> None:
    assert read_infotext_text(text).text() == text


def test_unknown_entries_keep_their_place_and_value() -> None:
    line = 'Steps: 20, Wildcard: "a, b: c", Tiled, Odd: 5x6, Hashes: {"model": "0a", "vae": "1b"}, Size: 512x512'
    read = read_infotext_text(f"a cat\n{line}")
    assert read.fields == {
        "Steps": "20",
        "Wildcard": "a, b: c",
        "Tiled": "Tiled",
        "Odd": "5x6",
        "Hashes": '{"model": "0a", "vae": "1b"}',
        "Size": "512x512",
    }
    assert read.text() == f"a cat\n{line}"


def test_an_infotext_without_entries_is_its_prompts() -> None:
    assert Infotext("a", "b").text() == "a\nNegative prompt: b"
