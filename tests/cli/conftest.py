"""A data folder of its own for each test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from app.cli import main
from app.files import Folders
from tests.cli.places import Places

Typed = Callable[..., int]


@pytest.fixture
def places(tmp_path: Path) -> Places:
    folders = Folders.of(data_dir=tmp_path / "data", program_dir=tmp_path / "program")
    folders.create()
    return Places(folders)


@pytest.fixture
def easel(places: Places) -> Typed:
    """Runs a command line over the test's data folder; returns the exit status."""
    environ = {"COMMANDLINE_ARGS": f"--data-dir '{places.folders.data}'"}
    return lambda *arguments: main(arguments, places, environ)
