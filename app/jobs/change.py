"""Change: one transaction on the job tables, with the events that are told once it is kept.

Events get their ids here, in the same transaction as the change they tell of.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import RLock

from app.jobs.bus import Told
from app.jobs.database import Database
from app.schema.events import StateEvent

Announce = Callable[[Told], None]


class Change:
    """The statements of one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.told: list[Told] = []

    def run(self, statement: str, *values: object) -> int:
        """Carries out a statement; how many rows it touched."""
        return self._connection.execute(statement, values).rowcount

    def row(self, statement: str, *values: object) -> sqlite3.Row | None:
        """The first row of a query, or None."""
        row: sqlite3.Row | None = self._connection.execute(statement, values).fetchone()
        return row

    def tell(self, event: StateEvent) -> None:
        """Stores an event, to be announced when the transaction is kept."""
        cursor = self._connection.execute(
            "INSERT INTO events (job, kind, at, event) VALUES (?, ?, ?, ?)",
            (event.job, event.kind, time.time(), event.model_dump_json()),
        )
        self.told.append(Told(cursor.lastrowid, event))


class Changes:
    """Makes changes one after the other, and announces their events in the order of their ids."""

    def __init__(self, database: Database, announce: Announce) -> None:
        self._database = database
        self._announce = announce
        self._lock = RLock()

    @contextmanager
    def __call__(self) -> Iterator[Change]:
        """One transaction: kept and announced as a whole, or not at all."""
        with self._lock:
            with self._database.write() as connection:
                change = Change(connection)
                yield change
            for told in change.told:
                self._announce(told)
