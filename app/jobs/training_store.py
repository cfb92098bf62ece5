"""TrainingStore: trainings and their events in the jobs' SQLite file; what it has answered survives a kill.

Tells each state event to `announce` after it was stored. Runs nothing. Thread-safe.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from app.jobs.bus import Told
from app.jobs.change import Announce, Change, Changes
from app.jobs.database import Database
from app.jobs.training import Training, TrainingWish
from app.schema.errors import TrainingNotFound
from app.schema.events import Failed, Finished, Notice, Queued, SampleReady, Started, StateEvent, TrainingMade
from app.schema.training_run import RUN_VERSION, TrainingRun, TrainingState

_STATE_EVENT: TypeAdapter[StateEvent] = TypeAdapter(Annotated[StateEvent, Field(discriminator="kind")])


class TrainingStore:
    """The only place where a training's state changes."""

    def __init__(
        self, path: Path, announce: Announce = lambda told: None, clock: Callable[[], float] = time.time
    ) -> None:
        """path: of the jobs' database."""
        self._database = Database(path)
        self._change = Changes(self._database, announce)
        self.announce = announce
        self._clock = clock

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    def add(self, owner: str, run: TrainingRun, folder: str) -> Training:
        """Stores a new training in state queued; on the disk when this returns. Raises DiskFull or CannotWrite."""
        with self._change() as change:
            waiting = _waiting(change)
            change.run(
                "INSERT INTO trainings (id, owner, state, version, document, folder, submitted) "
                "VALUES (?, ?, 'queued', ?, ?, ?, ?)",
                run.id,
                owner,
                RUN_VERSION,
                run.model_dump_json(),
                folder,
                run.created,
            )
            change.tell(Queued(job=run.id, position=waiting))
        return self.get(run.id)

    def get(self, id: str) -> Training:
        """Raises TrainingNotFound."""
        rows = self._database.read("SELECT * FROM trainings WHERE id = ? AND version <= ?", id, RUN_VERSION)
        if not rows:
            raise TrainingNotFound(f"There is no training '{id[:40]}'.")
        return self._training(rows[0])

    def history(self, owner: str | None, limit: int) -> list[Training]:
        """The newest trainings of an owner (of all for None), newest first."""
        rows = self._database.read(
            "SELECT * FROM trainings WHERE (? IS NULL OR owner = ?) AND version <= ? ORDER BY sequence DESC LIMIT ?",
            owner,
            owner,
            RUN_VERSION,
            limit,
        )
        return [self._training(row) for row in rows]

    def in_state(self, states: Sequence[TrainingState]) -> list[Training]:
        """Those in one of these states, in the order of submission."""
        marks = ", ".join("?" * len(states))
        rows = self._database.read(
            f"SELECT * FROM trainings WHERE state IN ({marks}) AND version <= ? ORDER BY sequence", *states, RUN_VERSION
        )
        return [self._training(row) for row in rows]

    def begin(self, id: str) -> bool:
        """From queued to running; False when it is no longer queued."""
        with self._change() as change:
            taken = change.run(
                "UPDATE trainings SET state = 'running', started = coalesce(started, ?) "
                "WHERE id = ? AND state = 'queued'",
                self._clock(),
                id,
            )
            if taken:
                change.tell(Started(job=id))
        return taken > 0

    def rest(self, id: str, state: TrainingState) -> None:
        """From running to 'paused', or to 'queued' where it only lends its place."""
        with self._change() as change:
            change.run("UPDATE trainings SET state = ? WHERE id = ? AND state = 'running'", state, id)

    def ask(self, id: str, wish: TrainingWish) -> Training:
        """Remembers what is wanted. One that is not running obeys at once: it queues, rests, or ends; to one that has
        failed only 'go' means something."""
        with self._change() as change:
            row = change.row("SELECT state FROM trainings WHERE id = ?", id)
            if row is None:
                raise TrainingNotFound(f"There is no training '{id[:40]}'.")
            change.run(
                "UPDATE trainings SET wish = ? WHERE id = ? AND state IN ('queued', 'running', 'paused') "
                "AND wish != 'cancel'",
                wish,
                id,
            )
            if wish == "pause":
                change.run("UPDATE trainings SET state = 'paused' WHERE id = ? AND state = 'queued'", id)
            elif wish in ("go", "stop"):
                change.run("UPDATE trainings SET state = 'queued' WHERE id = ? AND state = 'paused'", id)
            if wish == "go" and row["state"] == "failed":
                _queue_again(change, id)
        if wish == "cancel" and row["state"] in ("queued", "paused"):
            self.end(id, Finished(job=id, state="cancelled", seconds=0.0))
        return self.get(id)

    def set_run(self, id: str, run: TrainingRun) -> bool:
        """Another run in the place of one that rests or has failed; False for one in any other state."""
        with self._change() as change:
            changed = change.run(
                "UPDATE trainings SET document = ? WHERE id = ? AND state IN ('paused', 'failed')",
                run.model_dump_json(),
                id,
            )
        return changed > 0

    def tell(self, event: StateEvent) -> None:
        """Stores and tells an event."""
        with self._change() as change:
            change.tell(event)

    def count_death(self, id: str, step: int) -> int:
        """One more death of the training's process, having come to `step`; how many without a step in between."""
        with self._change() as change:
            row = change.row("SELECT deaths, death_at FROM trainings WHERE id = ?", id)
            deaths = int(row["deaths"]) + 1 if row is not None and step <= row["death_at"] else 1
            change.run("UPDATE trainings SET deaths = ?, death_at = max(death_at, ?) WHERE id = ?", deaths, step, id)
        return deaths

    def end(self, id: str, event: Finished | Failed) -> bool:
        """Ends a training with its last event; False when it had ended before."""
        with self._change() as change:
            ended = change.run(
                "UPDATE trainings SET state = ?, ended = ? WHERE id = ? AND state IN ('queued', 'running', 'paused')",
                event.state,
                self._clock(),
                id,
            )
            if ended:
                change.tell(event)
        return ended > 0

    def forget(self, id: str) -> None:
        """Takes one that is over from the list, with its events."""
        with self._change() as change:
            if change.run("DELETE FROM trainings WHERE id = ? AND state IN ('done', 'failed', 'cancelled')", id):
                change.run("DELETE FROM events WHERE job = ?", id)

    def events_after(self, id: str, after: int = 0) -> list[Told]:
        """The stored events with ids above `after`."""
        rows = self._database.read("SELECT id, event FROM events WHERE job = ? AND id > ? ORDER BY id", id, after)
        return [Told(row["id"], _STATE_EVENT.validate_json(row["event"])) for row in rows]

    def _training(self, row: sqlite3.Row) -> Training:
        events = [told.event for told in self.events_after(row["id"])]
        return Training(
            row["id"],
            row["owner"],
            row["state"],
            row["wish"],
            TrainingRun.model_validate(json.loads(row["document"])),
            row["folder"],
            row["submitted"],
            row["started"],
            row["ended"],
            next((event for event in events if isinstance(event, TrainingMade)), None),
            next((event for event in events if isinstance(event, Failed)), None),
            tuple(event for event in events if isinstance(event, SampleReady)),
        )


def _waiting(change: Change) -> int:
    """How many are before one that is queued now."""
    row = change.row("SELECT count(*) FROM trainings WHERE state IN ('queued', 'running')")
    return int(row[0]) if row is not None else 0


def _queue_again(change: Change, id: str) -> None:
    """From failed to queued. The failure becomes a notice in its place: whoever watches from now on must not take it
    for the end."""
    failed = change.row("SELECT id, event FROM events WHERE job = ? AND kind = 'failed' ORDER BY id DESC", id)
    if failed is not None:
        text = f"It failed, and was told to go on: {Failed.model_validate_json(failed['event']).message}"
        notice = Notice(job=id, code="went_on", text=text)
        change.run(
            "UPDATE events SET kind = ?, event = ? WHERE id = ?", notice.kind, notice.model_dump_json(), failed["id"]
        )
    waiting = _waiting(change)
    change.run(
        "UPDATE trainings SET state = 'queued', wish = 'go', started = NULL, ended = NULL, deaths = 0 WHERE id = ?", id
    )
    change.tell(Queued(job=id, position=waiting))
