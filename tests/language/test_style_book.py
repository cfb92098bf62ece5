"""Styles over several files: saved where they stand, new ones in the first, nothing lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.language import Style, StyleBook, read_styles
from app.schema.errors import CannotWrite, InvalidField

TABLE = "name,prompt,negative_prompt\n"


@pytest.fixture
def book(tmp_path: Path) -> StyleBook:
    (tmp_path / "more").mkdir()
    return StyleBook([tmp_path / "styles.csv", tmp_path / "more" / "*.csv"])


def test_a_machine_without_styles_gets_its_first(book: StyleBook, tmp_path: Path) -> None:
    assert book() == ()
    book.save(Style(" oil ", "{prompt}, oil on canvas", "photo"))
    assert book() == (Style("oil", "{prompt}, oil on canvas", "photo"),)
    assert (tmp_path / "styles.csv").read_bytes().startswith(b"\xef\xbb\xbfname,prompt,negative_prompt")
    assert book.menu() == ("oil",)


def test_a_style_is_changed_where_it_stands_and_the_file_before_is_kept(book: StyleBook, tmp_path: Path) -> None:
    file = tmp_path / "more" / "b.csv"
    file.write_text(f"{TABLE}# mine,,\nfog,thick fog,\nsketch,pencil,photo\n")
    before = file.read_bytes()
    book.save(Style("oil", "oil"))
    book.save(Style("fog", "thin fog, “low” sun\nsecond line"))
    assert read_styles(file) == (Style("fog", "thin fog, “low” sun\nsecond line"), Style("sketch", "pencil", "photo"))
    assert "# mine" in file.read_text()
    assert file.with_name("b.csv.bak").read_bytes() == before
    assert read_styles(tmp_path / "styles.csv") == (Style("oil", "oil"),)
    assert [name.strip("- ") for name in book.menu()] == ["STYLES", "oil", "B", "fog", "sketch"]


def test_a_style_is_deleted_wherever_it_stands(book: StyleBook, tmp_path: Path) -> None:
    for name in ("styles.csv", "more/b.csv"):
        (tmp_path / name).write_text(f"{TABLE}fog,thick fog,\nsketch,pencil,photo\n")
    book.delete("fog")
    assert [style.name for style in book()] == ["sketch", "sketch"]
    with pytest.raises(InvalidField):
        book.delete("fog")


@pytest.mark.parametrize("name", ["", "  ", "#no", "a\nb", "x" * 201])
def test_names_that_a_table_cannot_keep_are_refused(book: StyleBook, name: str) -> None:
    with pytest.raises(InvalidField):
        book.save(Style(name, "x"))
    assert book() == ()


def test_a_file_that_cannot_be_written_is_named(book: StyleBook, tmp_path: Path) -> None:
    (tmp_path / "styles.csv.tmp").mkdir()
    with pytest.raises(CannotWrite, match=r"styles\.csv"):
        book.save(Style("oil", "oil"))


def test_a_file_that_is_no_table_is_left_alone(book: StyleBook, tmp_path: Path) -> None:
    (tmp_path / "styles.csv").write_text("something else\nentirely\n")
    with pytest.raises(InvalidField):
        book.save(Style("oil", "oil"))
    assert (tmp_path / "styles.csv").read_text() == "something else\nentirely\n"
