"""Which rows form the next group, and when to change models.

Pure Python: knows names and measured seconds, nothing of tensors. Owners share the device by seconds, not by jobs;
inside one owner the older job goes first; inside a job the batches go in order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple


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

    patience: seconds for which models at hand are preferred while rows of a model that must be loaded wait.
    """

    def __init__(self, *, patience: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience = patience
        self._clock = clock
        self._spent: dict[str, float] = {}
        self._waits_since: dict[Hashable, float] = {}

    def charge(self, owner: str, seconds: float) -> None:
        """Adds measured device seconds to an owner's account."""
        self._spent[owner] = self._spent.get(owner, 0.0) + seconds

    def next(self, waiting: Sequence[Waiting], switch_cost: Callable[[Any], float]) -> tuple[int, ...]:
        """Numbers of the rows to run together, () when nothing waits.

        switch_cost: of a choice of model, from 0, at hand, to 1, to be loaded; so is the share of the patience.
        """
        self._settle_accounts({row.owner for row in waiting})
        ready = self._first_batches(waiting)
        if not ready:
            return ()
        choice = self._choose_model(ready, switch_cost)
        candidates = [row for row in ready if row.choice == choice]
        leader = min(candidates, key=lambda row: (self._spent[row.owner], row.row))
        mates = [row for row in ready if (row.job, row.batch) == (leader.job, leader.batch)]
        # The rows of a batch go in step, also where they change models on their way: those that are behind are brought
        # up first.
        behind = min(mates, key=lambda row: (row.done, row.row))
        alike = (behind.choice, behind.group, behind.done)
        return tuple(row.row for row in mates if (row.choice, row.group, row.done) == alike)

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

    def _choose_model(self, ready: Sequence[Waiting], switch_cost: Callable[[Any], float]) -> Hashable:
        """A model at hand, unless another has waited for its time: then that one, until it is at hand."""
        costs = {choice: switch_cost(choice) for choice in dict.fromkeys(row.choice for row in ready)}
        now = self._clock()
        self._waits_since = {choice: self._waits_since.get(choice, now) for choice, cost in costs.items() if cost > 0}
        late = {choice for choice, since in self._waits_since.items() if now - since >= self._patience * costs[choice]}
        at_hand = {choice for choice, cost in costs.items() if cost == 0}
        # With nothing at hand no time is lost by a change: the next in turn it is.
        chosen = late or at_hand or set(costs)
        return min(
            (row for row in ready if row.choice in chosen), key=lambda row: (self._spent[row.owner], row.row)
        ).choice
