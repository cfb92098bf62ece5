"""Unicode repair: what is changed, and that everything else is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.language.plain_text import plain_text


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("“quotes” ‘single’ – dash…", "\"quotes\" 'single' – dash…"),
        ("ＦＵＬＬ　ｗｉｄｔｈ（１）", "FULL width(1)"),
        ("ｶﾀｶﾅ", "カタカナ"),
        ("oﬃce ﬁsh", "office fish"),
        ("e\u0301", "é"),
        ("a\0b\x7fc\ufeffd", "abcd"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("\x93quoted\x94\x85", '"quoted"…'),
        ("cats &amp; dogs &eacute; &#65; &NTILDE; &nosuch;", "cats & dogs é A Ñ &nosuch;"),
        ("&amp;amp;eacute;", "é"),
        ("a &amp; b\n<b> &amp; c\n&amp;", "a & b\n<b> &amp; c\n&amp;"),
        ("\ud83d\udc31 \ud83d", "🐱 \ufffd"),
        ("猫 🐱 naïve", "猫 🐱 naïve"),
    ],
)
def test_odd_characters_are_made_plain(text: str, plain: str) -> None:
    assert plain_text(text) == plain


@given(st.text(max_size=80))
def test_a_second_repair_changes_nothing_without_markup(text: str) -> None:
    once = plain_text(text)
    if "<" not in once:
        assert plain_text(once) == once


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="&"), max_size=80))
def test_plain_ascii_is_left_alone(text: str) -> None:
    assert plain_text(text) == text
