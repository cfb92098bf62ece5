"""A workplace of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jobs.workplace import Gate, Workplace


@pytest.fixture
def workplace(tmp_path: Path) -> Iterator[Workplace]:
    place = Workplace(tmp_path)
    place.worker.start()
    yield place
    place.close()


@pytest.fixture
def gated(tmp_path: Path) -> Iterator[Workplace]:
    """Its engine takes a step only when the test lets it."""
    place = Workplace(tmp_path, Gate)
    place.worker.start()
    yield place
    for engine in place.engines:
        assert isinstance(engine, Gate)
        engine.open_for_good.set()
    place.close()
