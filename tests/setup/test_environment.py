"""An environment counts as finished only with a stamp that fits, and the stamp is written last."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from app.setup.environment import (
    STAMP,
    Environment,
    environment_of,
    fingerprint,
    is_current,
    remove_stamp,
    stamped_extras,
    write_stamp,
)


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    made = environment_of(tmp_path, {})
    made.python.parent.mkdir(parents=True)
    made.python.symlink_to(sys.executable)
    assert made.folder is not None
    (made.folder / "pyvenv.cfg").write_text("home = /nowhere\n")
    return made


def test_the_environment_lies_beside_the_program_or_where_venv_dir_says(tmp_path: Path) -> None:
    assert environment_of(tmp_path, {}).folder == tmp_path / ".venv"
    assert environment_of(tmp_path, {"VENV_DIR": "other"}).folder == tmp_path / "other"
    assert environment_of(tmp_path, {"VENV_DIR": str(tmp_path.parent)}).folder == tmp_path.parent
    here = environment_of(tmp_path, {"VENV_DIR": "-"})
    assert (here.folder, here.python, here.is_running) == (None, Path(sys.executable), True)


def test_only_a_finished_installation_of_the_same_files_is_current(environment: Environment) -> None:
    assert not is_current(environment, "abc", [])
    write_stamp(environment, "abc", [])
    assert is_current(environment, "abc", [])
    assert not is_current(environment, "abd", [])
    remove_stamp(environment)
    assert not is_current(environment, "abc", [])


def test_an_extra_that_was_not_installed_is_not_current_but_fewer_are(environment: Environment) -> None:
    write_stamp(environment, "abc", ["test"])
    assert is_current(environment, "abc", [])
    assert is_current(environment, "abc", ["test"])
    assert not is_current(environment, "abc", ["test", "xformers"])
    assert stamped_extras(environment) == {"test"}


def test_a_python_that_went_away_or_became_another_is_not_current(environment: Environment, tmp_path: Path) -> None:
    write_stamp(environment, "abc", [])
    environment.python.unlink()
    environment.python.symlink_to(tmp_path / "python3.99")
    assert not is_current(environment, "abc", [])
    (tmp_path / "python3.99").touch()
    assert not is_current(environment, "abc", [])


@pytest.mark.parametrize("content", ["", "{", '"text', "\xff"])
def test_a_damaged_stamp_is_no_stamp(environment: Environment, content: str) -> None:
    assert environment.folder is not None
    (environment.folder / STAMP).write_text(content, "latin-1")
    assert not is_current(environment, "abc", [])
    assert stamped_extras(environment) == set()


def test_the_fingerprint_follows_both_files_and_not_their_line_ends(tmp_path: Path) -> None:
    def written(project: bytes, pins: bytes) -> str:
        (tmp_path / "pyproject.toml").write_bytes(project)
        (tmp_path / "constraints.txt").write_bytes(pins)
        return fingerprint(tmp_path)

    first = written(b"a\nb\n", b"torch==2.13.0\n")
    assert written(b"a\r\nb\r\n", b"torch==2.13.0\r\n") == first
    assert written(b"a\nc\n", b"torch==2.13.0\n") != first
    assert written(b"a\nb\n", b"torch==2.13.1\n") != first
    assert written(b"a\n", b"b\ntorch==2.13.0\n") != first
