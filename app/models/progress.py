"""Progress: how far a load has come, in bytes of the file, told part by part and not tensor by tensor.

Knows neither files nor who listens; a listener is called from the loading thread and should return at once.
"""

from __future__ import annotations

from collections.abc import Callable

# (part, bytes done, bytes in all): 'U-Net', 'text encoder' or 'VAE'; both numbers span the whole load.
Progress = Callable[[str, int, int], None]

# A listener hears of every so many bytes, so that it costs nothing beside reading them.
STEP = 32_000_000


class Meter:
    """Counts bytes and tells a listener. total: bytes of the whole load."""

    def __init__(self, listener: Progress | None, total: int) -> None:
        self._listener = listener
        self._total = total
        self._done = 0
        self._told = 0
        self._part = ""

    def begin(self, part: str) -> None:
        """From now on bytes belong to this part; told at once."""
        self._part = part
        self._tell()

    def add(self, size: int) -> None:
        """So many more bytes of the file are done."""
        self._done += size
        if self._done - self._told >= STEP:
            self._tell()

    def end(self) -> None:
        """The part is done; told at once."""
        self._tell()

    def _tell(self) -> None:
        self._told = self._done
        if self._listener is not None:
            self._listener(self._part, self._done, self._total)
