"""What holds for every test: one thread, no network beyond this machine, slow tests only when asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator

# Before anything imports torch: its thread pool is sized once.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import pytest

from tests.network_guard import GUARD


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run what needs more memory or time")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave slow tests out unless asked for; tests that drive a browser or kill servers follow one another."""
    if not config.getoption("--slow"):
        slow = [item for item in items if item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]
    for item in items:
        if item.get_closest_marker("browser") or item.get_closest_marker("kill"):
            item.add_marker(pytest.mark.xdist_group("one by one"))


@pytest.fixture(autouse=True)
def no_network() -> Iterator[list[str]]:
    """Connections beyond this machine fail; the list holds what was tried."""
    with GUARD as tried:
        yield tried
