"""Measures how the time of a parser grows with its text."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable


def growth(parse: Callable[[str], object], unit: str) -> float:
    """How many times longer 100,000 letters of repeated units take than 10,000; 10 where time is linear.

    CPU time, the best of five, without the collector of garbage, which looks at what the tests before have left. A
    hundredth of a second is added to both, so that what is quick anyway passes.
    """
    gc.disable()
    try:
        return (_best(parse, _repeated(unit, 100_000)) + 0.01) / (_best(parse, _repeated(unit, 10_000)) + 0.01)
    finally:
        gc.enable()


def _repeated(unit: str, letters: int) -> str:
    return (unit * letters)[:letters]


def _best(parse: Callable[[str], object], text: str) -> float:
    return min(_once(parse, text) for _ in range(5))


def _once(parse: Callable[[str], object], text: str) -> float:
    begun = time.process_time()
    parse(text)
    return time.process_time() - begun
