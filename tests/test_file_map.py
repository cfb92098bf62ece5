"""The README's map of the tree is true, and every file opens with a line worth reading there."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.setup.environment import PROGRAM
from tests.file_map import BEGIN, END, first_line, replaced, tree

FILES = sorted(path.relative_to(PROGRAM).as_posix() for path in (PROGRAM / "app").rglob("*.py"))


def test_the_readmes_map_says_what_each_file_says_of_itself() -> None:
    readme = (PROGRAM / "README.md").read_text("utf-8")
    assert readme == replaced(readme, tree(PROGRAM)), "run: python -m tests.file_map"


def test_every_file_opens_with_one_short_sentence() -> None:
    lines = {file: first_line(PROGRAM / file) for file in FILES}
    assert {file: line for file, line in lines.items() if not line or not line.endswith((".", ":", ";"))} == {}
    assert {file: len(line) for file, line in lines.items() if len(line) > 120} == {}


def test_the_map_nests_folders_and_names_them_by_their_init(tmp_path: Path) -> None:
    (tmp_path / "app" / "rooms").mkdir(parents=True)
    (tmp_path / "app" / "__init__.py").write_text('"""The house."""\n')
    (tmp_path / "app" / "door.py").write_text('"""Opens.\n\nAnd closes.\n"""\n')
    (tmp_path / "app" / "rooms" / "__init__.py").write_text('"""Rooms."""\n')
    (tmp_path / "app" / "rooms" / "hall.py").write_text('"""Wide."""\n')
    assert tree(tmp_path).splitlines() == [
        "app/         The house.",
        "  door.py    Opens.",
        "  rooms/     Rooms.",
        "    hall.py  Wide.",
    ]


def test_a_readme_without_markers_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"README\.md needs the lines"):
        replaced("# Easel\n", "app/")
    assert replaced(f"a\n{BEGIN}\nold\n{END}\nz", "new") == f"a\n{BEGIN}\n```\nnew\n```\n{END}\nz"
