"""Which rows form the next group, and when to change models.

Pure Python: knows names and measured seconds, nothing of tensors. Owners share the device by seconds, not by jobs;
inside one owner the older job goes first; inside a job the batches go in order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple


class Waiting(NamedTuple):
    """What the scheduler sees of one row that could go on now.

    row: its number, rising in the order of submission. choice: the model it needs. group: rows with equal keys may
    share a call; None for a row not begun. done: effects carried out so far.
    """

    row: int
    owner: str
    job: str
    batch: int
    choice: Hashable
    group: Hashable | None
    done: int


class Scheduler:
    """Chooses the next group. One thread.

    patience: seconds for which rows of the model in use are preferred while rows of another model wait.
    """

    def __init__(self, *, patience: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience = patience
        self._clock = clock
        self._spent: dict[str, float] = {}
        self._other_model_since: float | None = None
        self._in_use: Hashable | None = None

    def charge(self, owner: str, seconds: float) -> None:
        """Adds measured device seconds to an owner's account."""
        self._spent[owner] = self._spent.get(owner, 0.0) + seconds

    def next(self, waiting: Sequence[Waiting], in_use: Hashable | None) -> tuple[int, ...]:
        """Numbers of the rows to run together, () when nothing waits. in_use: the model that is on the device."""
        self._settle_accounts({row.owner for row in waiting})
        ready = self._first_batches(waiting)
        if not ready:
            return ()
        choice = self._choose_model(ready, in_use)
        candidates = [row for row in ready if row.choice == choice]
        leader = min(candidates, key=lambda row: (self._spent[row.owner], row.row))
        mates = [row for row in candidates if (row.job, row.batch) == (leader.job, leader.batch)]
        # The rows of a batch go in step: those that are behind are brought up first.
        behind = min(mates, key=lambda row: (row.done, row.row))
        return tuple(row.row for row in mates if row.group == behind.group and row.done == behind.done)

    def _settle_accounts(self, owners: set[str]) -> None:
        """An owner who left is forgotten; one who comes starts level with the least served."""
        self._spent = {owner: seconds for owner, seconds in self._spent.items() if owner in owners}
        least = min(self._spent.values(), default=0.0)
        for owner in owners:
            self._spent.setdefault(owner, least)

    @staticmethod
    def _first_batches(waiting: Sequence[Waiting]) -> list[Waiting]:
        first: dict[str, int] = {}
        for row in waiting:
            first[row.job] = min(first.get(row.job, row.batch), row.batch)
        return [row for row in waiting if row.batch == first[row.job]]

    def _choose_model(self, ready: Sequence[Waiting], in_use: Hashable | None) -> Hashable:
        if in_use != self._in_use:
            self._in_use = in_use
            self._other_model_since = None
        others = [row for row in ready if row.choice != in_use]
        if len(others) == len(ready):
            self._other_model_since = None
            return min(ready, key=lambda row: (self._spent[row.owner], row.row)).choice
        if not others:
            self._other_model_since = None
            return in_use
        if self._other_model_since is None:
            self._other_model_since = self._clock()
        if self._clock() - self._other_model_since < self._patience:
            return in_use
        # Patience begins anew when the change has happened, not here: the engine asks again before it loads.
        return min(others, key=lambda row: (self._spent[row.owner], row.row)).choice
