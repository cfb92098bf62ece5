"""Reads what A1111 1.10.1 answered to a few hundred prompts (tests/golden/prompts*.json)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parents[1] / "golden"


def golden(name: str) -> Any:
    """One of the recorded files by its name."""
    return json.loads((GOLDEN / name).read_text("utf-8"))
