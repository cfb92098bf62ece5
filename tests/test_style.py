"""What the linters and the type checker hold: the same commands that a developer runs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from app.setup.environment import PROGRAM


@pytest.mark.parametrize(
    "command",
    [("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",)],
    ids=lambda command: " ".join(command),
)
def test_the_code_passes(command: tuple[str, ...]) -> None:
    child = subprocess.run([sys.executable, "-m", *command], cwd=PROGRAM, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stdout + child.stderr
