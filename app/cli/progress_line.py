"""Progress line: one line on a terminal that is written over; elsewhere nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_EVERY = 0.2


@contextmanager
def progress_line(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yields a function of the bytes done and of all; the line is gone afterwards."""
    begun = told = time.monotonic()
    shows = sys.stderr.isatty()

    def tell(done: int, of: int) -> None:
        nonlocal told
        now = time.monotonic()
        if not shows or now - told < _EVERY:
            return
        told = now
        speed = done / 1e6 / max(now - begun, 1e-6)
        sys.stderr.write(f"\r{what[:60]}: {100 * done // max(of, 1)} % of {of / 1e6:,.0f} MB, {speed:,.0f} MB/s   ")
        sys.stderr.flush()

    try:
        yield tell
    finally:
        if shows and told > begun:
            sys.stderr.write("\r\x1b[K")
