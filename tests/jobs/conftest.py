"""A workplace of its own for each test."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
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
    open_for_good = threading.Event()
    place = Workplace(tmp_path, partial(Gate, open_for_good=open_for_good))
    place.worker.start()
    yield place
    open_for_good.set()
    place.close()
