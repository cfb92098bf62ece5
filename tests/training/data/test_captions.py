"""Captions: shuffled, dropped and put into templates as the options say, and the same for the same draws."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from app.schema.errors import TrainingProblem
from app.training.data import CaptionOptions, Templates, caption_for
from app.training.randomness import numpy_generator


def many(words: str, options: CaptionOptions, templates: Templates | None = None, count: int = 400) -> Counter[str]:
    return Counter(caption_for(words, options, numpy_generator(1, "c", n), templates) for n in range(count))


def test_without_options_the_caption_is_the_words() -> None:
    assert many("a cat, on a mat", CaptionOptions()) == {"a cat, on a mat": 400}


def test_shuffling_keeps_the_first_parts_and_loses_none() -> None:
    found = many("hero, red, green, blue", CaptionOptions(shuffle=True, keep_parts=1))
    assert len(found) == 6
    assert all(
        text.startswith("hero, ") and sorted(text.split(", ")) == ["blue", "green", "hero", "red"] for text in found
    )


def test_parts_and_captions_are_dropped_as_often_as_asked() -> None:
    parts = many("hero, red", CaptionOptions(keep_parts=1, drop_parts=0.3))
    assert 80 < parts["hero"] < 160
    whole = many("hero", CaptionOptions(drop=0.1))
    assert 20 < whole[""] < 65
    assert whole[""] + whole["hero"] == 400


def test_templates_are_filled_with_name_and_words(tmp_path: Path) -> None:
    path = tmp_path / "subject.txt"
    path.write_text("a photo of [name], [filewords]\n\na painting of [name]\n", encoding="utf-8")
    found = many("by the sea", CaptionOptions(), Templates.read(path, "sks"))
    assert set(found) == {"a photo of sks, by the sea", "a painting of sks"}
    path.write_text("\n", encoding="utf-8")
    with pytest.raises(TrainingProblem, match="empty"):
        Templates.read(path, "sks")


def test_the_same_draws_give_the_same_words() -> None:
    options = CaptionOptions(shuffle=True, drop_parts=0.5)
    first, second = (caption_for("a, b, c, d, e", options, numpy_generator(7, "c", 3)) for _ in range(2))
    assert first == second
