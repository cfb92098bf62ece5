"""The composition root: builds every object once, by hand, in reading order."""

from __future__ import annotations

from collections.abc import Sequence

from app import cli
from app.launch.factories import Launch


def main(arguments: Sequence[str]) -> int:
    """One start with these arguments; the exit status."""
    return cli.main(arguments, Launch())
