"""Who may ask: a file of logins that cannot be used is refused in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.launch.serving import logins_in
from app.schema.errors import InvalidField


def test_logins_stand_one_a_line_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "logins.txt"
    file.write_text("ann:one\nbob:two:three\n", encoding="utf-8-sig")
    assert logins_in(file) == (("ann", "one"), ("bob", "two:three"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        (b"ann:one\nsecret", "login 2 is not of the form"),
        (b"ann:\xff\xfe", "not UTF-8"),
    ],
)
def test_a_file_of_logins_that_cannot_be_used_is_refused(tmp_path: Path, content: bytes | None, words: str) -> None:
    file = tmp_path / "logins.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InvalidField, match=words) as caught:
        logins_in(file)
    assert caught.value.field == "--gradio-auth-path"
    assert "secret" not in str(caught.value)
