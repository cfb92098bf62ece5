"""Amounts in words: no exponent, no fourth figure, and the singular where it belongs."""

from __future__ import annotations

import pytest

from app.schema.amounts import count_words, size_words


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (999_499, "999 kB"),
        (999_500, "1 MB"),
        (12_345_678, "12.3 MB"),
        (999_499_999, "999 MB"),
        (999_600_000, "1.00 GB"),
        (3_420_000_000, "3.42 GB"),
    ],
)
def test_sizes_have_three_figures(size: int, words: str) -> None:
    assert size_words(size) == words


def test_one_is_singular() -> None:
    assert [count_words(number, "step") for number in (0, 1, 1500)] == ["0 steps", "1 step", "1,500 steps"]
