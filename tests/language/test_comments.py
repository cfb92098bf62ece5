"""Comments in prompts."""

from __future__ import annotations

import pytest

from app.language import without_comments
from tests.language.timing import growth


@pytest.mark.parametrize(
    ("prompt", "left"),
    [
        ("a cat", "a cat"),
        ("a cat # and a dog", "a cat \n"),
        ("a cat\n# a dog\non a mat", "a cat\non a mat"),
        ("# first\na cat", "\na cat"),
        ("a cat # one\non # two\na mat", "a cat \non \na mat"),
        ("a#b", "a\n"),
        ("", ""),
    ],
)
def test_a_comment_ends_with_its_line(prompt: str, left: str) -> None:
    assert without_comments(prompt) == left


@pytest.mark.parametrize("unit", ["#", "\n#", "# a\n", "\n"])
def test_ten_times_the_comments_take_at_most_fifteen_times_as_long(unit: str) -> None:
    assert growth(without_comments, unit) < 15
