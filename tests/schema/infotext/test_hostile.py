"""Hostile texts: nothing raises, and time grows with the text, not with its square."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from app.schema.infotext.parameters import png_info_parameters
from app.schema.infotext.reader import read_infotext_text
from app.schema.infotext.request import request_from_infotext
from app.schema.infotext.settings import override_settings, settings_of

LINE = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512, "
PIECES = (
    *'",:\\{}[]()<>\t\r\n-/ x',
    "ab",
    "猫",
    "\0",
    "\ud800",
    "5x6",
    "Steps: 20",
    "Sampler: Euler a",
    "Seed: 1",
    "Size: 0x0",
    "First pass size: 0x0",
    "Negative prompt:",
    "Template: ",
    'Hashes: {"model":"a","lora:a":"b"}',
    'Lora hashes: "a: b"',
    'Extension settings: "{\\"a\\": {}}"',
    "Prompt lines: 3",
    "Version: v1.5.1",
    "Version: Easel 1",
    "<lora:a:1>",
    '{"uc":1,"scale":2,"steps":3}',
    '{"1":{"class_type":"K","inputs":{"positive":["1",0],"negative":1,"steps":2,"cfg":3}}}',
)
SHAPES = {
    "one word": "a",
    "words": "ab ",
    "entries": "ab: c, ",
    "open quotes": 'ab: "c, ',
    "escapes": 'ab: "\\',
    "brackets": "[",
    "json again and again": "Hashes: [1, ",
    "colons": ":",
    "commas": ", ",
    "steps": "Steps: 20, ",
    "steps within": "a Steps: 20, ",
    "steps lines": "Steps: 20\n",
    "labels": "Negative prompt: ",
    "label lines": "Negative prompt: a\n",
    "line breaks": "\n",
    "blanks": " ",
    "tags": "<lora:",
    "networks": "AddNet Module 1: LoRA, AddNet Model 1: a (",
    "versions": "Version: 1.",
    "continued": "x\nab: c",
    "braces": "{",
}


def read_all(text: str) -> None:
    """Everything that a pasted text goes through."""
    infotext = read_infotext_text(text)
    again = read_infotext_text(infotext.text())
    request_from_infotext(again)
    parameters = png_info_parameters(text)
    override_settings(parameters, with_checkpoint=True)
    settings_of(text.split(","))
    str(parameters).encode("utf-8")


def random_text(source: random.Random) -> str:
    return "".join(
        source.choice(PIECES) + source.choice(("", "", ", ", ": ", "\n")) for _ in range(source.randrange(25))
    )


def test_no_text_raises() -> None:
    source = random.Random(20)
    for _ in range(1_500):
        read_all(random_text(source))


@pytest.mark.slow
def test_no_text_of_a_hundred_thousand_raises() -> None:
    source = random.Random(21)
    for _ in range(100_000):
        read_all(random_text(source))


@pytest.mark.parametrize("unit", SHAPES.values(), ids=SHAPES.keys())
def test_time_grows_with_the_length(unit: str) -> None:
    for around in (lambda text: f"{LINE}{text}", lambda text: f"{text}\n{LINE}", lambda text: text):
        small = seconds(read_all, around((unit * 10_000)[:10_000]))
        large = seconds(read_all, around((unit * 100_000)[:100_000]))
        # A hundredth of a second more on both sides, so that what is quick anyway passes.
        assert (large + 0.01) / (small + 0.01) <= 15


def seconds(action: Callable[[str], object], text: str) -> float:
    """CPU seconds, the better of two."""
    measured = []
    for _ in range(2):
        begun = time.process_time()
        action(text)
        measured.append(time.process_time() - begun)
    return min(measured)
