"""DeviceLease: who has the device, pictures or a training, by a protocol that starves neither.

A training gets the device when no picture is in work. A picture that has waited `patience` seconds asks for it back;
the training ends at its next step with a snapshot, and its process with it, so that all memory is free. It gets the
device again once no picture has been wanted for `linger` seconds, or pictures have had it for `turn` seconds and more.
Where both can run at once (a CPU), nobody waits. Knows no device. Thread-safe.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

PATIENCE = 15.0
LINGER = 5.0
TURN = 300.0


class DeviceLease:
    """shared: whether both can run at once; asked when a training first wants the device."""

    def __init__(
        self,
        shared: Callable[[], bool] = lambda: True,
        *,
        patience: float = PATIENCE,
        linger: float = LINGER,
        turn: float = TURN,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shared = shared
        self._patience, self._linger, self._turn = patience, linger, turn
        self._clock = clock
        self._lock = threading.Lock()
        self._asked = False
        self._lent = False
        self._waiting_since: float | None = None
        self._drawn_at: float | None = None
        self._drawing_since: float | None = None

    def hold(self) -> None:
        """A training that outlived the program before this one has the device already; before anything is drawn."""
        with self._lock:
            self._asked = self._lent = True

    def take(self) -> bool:
        """The training asks for the device, again and again until it is True."""
        if self._shared():
            self.give_back()  # where it was held, before it was known that both can have it
            return True
        with self._lock:
            self._asked = True
            return self._lent

    def give_back(self) -> None:
        """The training's process has ended, or it does not want the device any more."""
        with self._lock:
            if self._lent:
                self._drawing_since = self._drawn_at = self._clock()
            self._asked = self._lent = False
            self._waiting_since = None

    def wanted_back(self) -> bool:
        """Whether a picture has waited long enough for the training to stand aside."""
        with self._lock:
            since = self._waiting_since
            return self._lent and since is not None and self._clock() - since >= self._patience

    def may_draw(self) -> bool:
        """The worker asks before it takes a job that waits."""
        with self._lock:
            now = self._clock()
            if self._lent:
                self._waiting_since = self._waiting_since or now
                return False
            if self._drawing_since is not None and now - self._drawing_since > self._turn and self._asked:
                return False  # what is in work ends, then it is the training's turn
            self._drawn_at = now
            self._drawing_since = self._drawing_since or now
            return True

    def drawn(self) -> None:
        """The worker has just worked on a picture."""
        with self._lock:
            self._drawn_at = self._clock()

    def due(self) -> bool:
        """The worker, when no picture is in work: whether the device is to be freed now, see `granted`."""
        with self._lock:
            if not self._asked or self._lent:
                return False
            now = self._clock()
            idle = self._drawn_at is None or now - self._drawn_at >= self._linger
            had_turn = self._drawing_since is not None and now - self._drawing_since > self._turn
            return idle or had_turn

    def granted(self) -> None:
        """The worker has freed the device."""
        with self._lock:
            self._lent = self._asked
            self._drawing_since = None
            self._waiting_since = None
