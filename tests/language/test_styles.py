"""Styles: merging, extracting and styles.csv, against A1111's recorded answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.language import (
    Style,
    apply_styles,
    extract_styles,
    merge_styles,
    read_style_files,
    read_styles,
    style_menu,
    write_styles,
)
from app.schema.errors import InvalidField
from tests.language.golden import golden

RECORDED = golden("prompts_styles.json")
STYLES = tuple(Style(**row) for row in RECORDED["loaded"])


def test_the_table_is_read_as_a1111_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "styles.csv"
    file.write_text(RECORDED["styles_csv"], "utf-8-sig")
    assert read_styles(file) == STYLES


@pytest.mark.parametrize("case", RECORDED["merge"], ids=lambda case: f"{case['prompt']} {case['styles']}")
def test_styles_are_merged_as_a1111_merges_them(case: dict[str, Any]) -> None:
    prompt = case["prompt"]
    merged = apply_styles(prompt, prompt, case["styles"], STYLES)
    assert merged == (case["result"], case["negative_result"])


@pytest.mark.parametrize("case", RECORDED["extract"], ids=lambda case: case["prompt"])
def test_styles_are_found_again_as_a1111_finds_them(case: dict[str, Any]) -> None:
    found = extract_styles(case["prompt"], case["negative"], STYLES)
    assert [list(found.styles), found.prompt, found.negative_prompt] == case["extracted"]


def test_a_style_that_fits_everything_is_found_once() -> None:
    assert extract_styles("a", "b", (Style("Any", "{prompt}", " "),)).styles == ("Any",)


def test_every_place_in_a_style_is_filled() -> None:
    assert merge_styles("a cat", ["{prompt} and {prompt}", "oil"]) == "a cat and a cat, oil"


def test_what_is_written_is_read_again_and_the_old_table_kept(tmp_path: Path) -> None:
    file = tmp_path / "styles.csv"
    write_styles(file, STYLES[:2])
    write_styles(file, STYLES)
    assert read_styles(file) == STYLES
    assert read_styles(tmp_path / "styles.csv.bak") == STYLES[:2]
    assert file.read_bytes().startswith(b"\xef\xbb\xbfname,prompt,negative_prompt")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["styles.csv", "styles.csv.bak"]


def test_the_first_heading_of_old_is_understood(tmp_path: Path) -> None:
    file = tmp_path / "styles.csv"
    file.write_text("name,text\nOil,oil painting\n", "utf-8")
    assert read_styles(file) == (Style("Oil", "oil painting"),)


def test_no_file_is_no_styles(tmp_path: Path) -> None:
    assert read_styles(tmp_path / "styles.csv") == ()


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"title,words\na,b\n", b'name,prompt\n"a' + b"x" * 200_000])
def test_what_is_no_table_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "odd.csv"
    file.write_bytes(content)
    with pytest.raises(InvalidField, match=r"odd\.csv is not a table of styles"):
        read_styles(file)


def test_several_files_are_divided_in_the_menu(tmp_path: Path) -> None:
    write_styles(tmp_path / "a.csv", [Style("One")])
    write_styles(tmp_path / "b.csv", [Style("Two")])
    files = read_style_files([tmp_path / "*.csv", tmp_path / "a.csv"])
    assert [name.strip("-") for name in style_menu(files)] == [" A ", "One", " B ", "Two"]
    assert style_menu(read_style_files([tmp_path / "a.csv"])) == ("One",)


TEXTS = st.text(alphabet="ab, {prompt}", max_size=12)


@given(st.lists(st.builds(Style, st.sampled_from("xyz"), TEXTS, TEXTS), max_size=4), TEXTS, TEXTS)
def test_any_styles_can_be_looked_for(styles: list[Style], prompt: str, negative_prompt: str) -> None:
    found = extract_styles(prompt, negative_prompt, styles)
    assert len(found.prompt) <= len(prompt)
    assert set(found.styles) <= {style.name for style in styles}
