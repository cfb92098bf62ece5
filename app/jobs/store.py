"""Store: jobs, their pictures and their events in SQLite; what it has answered survives a kill.

Tells each state event to `announce` after it was stored, in the order of their ids. Runs nothing. Thread-safe.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, TypeAdapter

from app.jobs.bus import Told
from app.jobs.change import Announce, Change, Changes
from app.jobs.database import Database
from app.jobs.job import DOCUMENT_VERSION, Job, new_job_id, read_document, write_document
from app.schema.errors import JobNotFound
from app.schema.events import (
    Failed,
    Finished,
    ImageReady,
    JobState,
    Notice,
    Queued,
    Started,
    StateEvent,
)
from app.schema.request import GenerationRequest, ResolvedRequest

_STATE_EVENT: TypeAdapter[StateEvent] = TypeAdapter(Annotated[StateEvent, Field(discriminator="kind")])

Stop = Literal["", "interrupt", "cancel"]
Outcome = Literal["saved", "failed", "dropped"]


class Reserved(NamedTuple):
    """A picture whose name was taken and which was not marked as saved. ready: what is to be told once it is."""

    job: str
    image: int
    path: str
    ready: ImageReady


class QueueEntry(NamedTuple):
    """A job in work or waiting."""

    id: str
    owner: str
    state: JobState


_HASH = re.compile(r"\b[0-9a-f]{64}\b")


class Store:
    """The only place where a job's state changes."""

    def __init__(
        self, path: Path, announce: Announce = lambda told: None, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = Database(path)
        self._change = Changes(self._database, announce)
        self.announce = announce
        self._clock = clock

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    def add(self, owner: str, request: GenerationRequest, resolved: ResolvedRequest) -> Job:
        """Stores a new job in state queued; on the disk when this returns. Raises DiskFull or CannotWrite."""
        now = self._clock()
        job = Job(new_job_id(now), owner, "queued", request, resolved, now)
        with self._change() as change:
            waiting = change.row("SELECT count(*) FROM jobs WHERE state = 'queued'")
            change.run(
                "INSERT INTO jobs (id, owner, state, version, document, submitted) VALUES (?, ?, 'queued', ?, ?, ?)",
                job.id,
                owner,
                DOCUMENT_VERSION,
                write_document(request, resolved),
                now,
            )
            change.tell(Queued(job=job.id, position=waiting[0] if waiting else 0))
        return job

    def get(self, id: str) -> Job:
        """Raises JobNotFound, and NewerVersion for a job that only a newer program can read."""
        rows = self._database.read("SELECT * FROM jobs WHERE id = ?", id)
        if not rows:
            raise JobNotFound(f"There is no job '{id[:40]}'.")
        return self._job(rows[0])

    def history(self, owner: str | None, limit: int) -> list[Job]:
        """The newest jobs of an owner (of all for None), newest first; those of a newer program are left out."""
        rows = self._database.read(
            "SELECT * FROM jobs WHERE (? IS NULL OR owner = ?) AND version <= ? ORDER BY sequence DESC LIMIT ?",
            owner,
            owner,
            DOCUMENT_VERSION,
            limit,
        )
        return [self._job(row) for row in rows]

    def hashes(self) -> set[str]:
        """Every 64-digit hash in the stored jobs: their input pictures and masks, results that others are to follow
        from, and more that are neither."""
        documents = self._database.read("SELECT document FROM jobs")
        results = self._database.read(
            "SELECT result FROM pictures JOIN jobs ON jobs.id = pictures.job "
            "WHERE result IS NOT NULL AND jobs.state IN ('queued', 'running')"
        )
        found = {found for row in documents for found in _HASH.findall(row["document"])}
        return found | {row["result"] for row in results}

    def oldest_running(self, owner: str | None) -> str | None:
        """Id of the job of an owner (of anyone for None) that was submitted first of those in work, or None."""
        rows = self._database.read(
            "SELECT id FROM jobs WHERE state = 'running' AND (? IS NULL OR owner = ?) ORDER BY sequence LIMIT 1",
            owner,
            owner,
        )
        return rows[0]["id"] if rows else None

    def queue(self) -> list[QueueEntry]:
        """Jobs in work and waiting, in the order of submission."""
        rows = self._database.read(
            "SELECT id, owner, state FROM jobs WHERE state IN ('queued', 'running') ORDER BY sequence"
        )
        return [QueueEntry(row["id"], row["owner"], row["state"]) for row in rows]

    def oldest_queued(self, owners_left_out: Iterable[str] = ()) -> list[tuple[str, str]]:
        """(id, owner) of the oldest queued job of each owner, oldest first."""
        left_out = tuple(owners_left_out)
        marks = ", ".join("?" * len(left_out))
        rows = self._database.read(
            f"SELECT id, owner, min(sequence) FROM jobs WHERE state = 'queued' AND version <= ? "
            f"AND owner NOT IN ({marks}) GROUP BY owner ORDER BY min(sequence)",
            DOCUMENT_VERSION,
            *left_out,
        )
        return [(row["id"], row["owner"]) for row in rows]

    def claim(self, id: str) -> bool:
        """Takes a queued job into work; False when it is no longer queued."""
        now = self._clock()
        with self._change() as change:
            taken = change.run(
                "UPDATE jobs SET state = 'running', started = coalesce(started, ?) WHERE id = ? AND state = 'queued'",
                now,
                id,
            )
            if taken:
                change.tell(Started(job=id))
        return taken > 0

    def ask_to_stop(self, id: str, how: Stop) -> JobState:
        """Remembers that a job is to be interrupted or cancelled; a queued one ends at once. Returns its state now."""
        with self._change() as change:
            row = change.row("SELECT state, stop FROM jobs WHERE id = ?", id)
            if row is None:
                raise JobNotFound(f"There is no job '{id[:40]}'.")
            state: JobState = row["state"]
            if state == "queued":
                self._end(change, id, Finished(job=id, state="cancelled", seconds=0.0))
                return "cancelled"
            if state == "running" and row["stop"] != "cancel":
                change.run("UPDATE jobs SET stop = ? WHERE id = ?", how, id)
            return state

    def end(self, id: str, event: Finished | Failed) -> bool:
        """Ends a job with its last event; False when it had ended before. Names taken and not used are given back."""
        with self._change() as change:
            return self._end(change, id, event)

    def notice(self, event: Notice) -> None:
        """Stores and tells a notice."""
        with self._change() as change:
            change.tell(event)

    def set_document(self, job: Job) -> None:
        """Stores what was found out about a job's request while it ran: the checkpoint's sha256."""
        with self._change() as change:
            change.run(
                "UPDATE jobs SET document = ?, version = ? WHERE id = ?",
                write_document(job.request, job.resolved),
                DOCUMENT_VERSION,
                job.id,
            )

    def reserve(self, ready: ImageReady, result: str | None = None) -> bool:
        """Takes `ready.path` for one picture before its file is made; False when the name is taken.

        result: hash of its pixels among the stored pictures, where others of the job follow from it.
        """
        with self._change() as change:
            if change.row("SELECT 1 FROM pictures WHERE path = ?", ready.path) is not None:
                return False
            change.run(
                "INSERT OR REPLACE INTO pictures (job, image, state, path, ready, result) "
                "VALUES (?, ?, 'reserved', ?, ?, ?)",
                ready.job,
                ready.index,
                ready.path,
                ready.model_dump_json(),
                result,
            )
        return True

    def reserved(self) -> list[Reserved]:
        """Names that were taken and not marked as saved."""
        rows = self._database.read("SELECT job, image, path, ready FROM pictures WHERE state = 'reserved'")
        return [
            Reserved(row["job"], row["image"], row["path"], ImageReady.model_validate_json(row["ready"]))
            for row in rows
        ]

    def give_back(self, job: str, image: int) -> None:
        """Forgets a reservation whose file was not made."""
        with self._change() as change:
            change.run("DELETE FROM pictures WHERE job = ? AND image = ? AND state = 'reserved'", job, image)

    def settle(
        self,
        job: str,
        image: int,
        outcome: Outcome,
        *,
        ready: ImageReady | None = None,
        seconds: float = 0.0,
        notices: Iterable[Notice] = (),
        last: bool = False,
        problem: Failed | None = None,
    ) -> bool:
        """Marks what became of one picture and tells it; with `last`, ends the job in the same transaction.

        ready: of a saved picture. seconds: of the device, added to the job's. problem: why pictures failed, which
        fails the job if none was saved. Returns whether the job has ended.
        """
        with self._change() as change:
            if outcome == "saved":
                change.run("UPDATE pictures SET state = 'saved', ready = NULL WHERE job = ? AND image = ?", job, image)
            else:
                change.run("INSERT OR REPLACE INTO pictures (job, image, state) VALUES (?, ?, ?)", job, image, outcome)
            change.run("UPDATE jobs SET seconds = seconds + ? WHERE id = ?", seconds, job)
            for notice in notices:
                change.tell(notice)
            if ready is not None:
                change.tell(ready)
            if last:
                self._end(change, job, self._ending(change, job, problem))
        return last

    def settled(self, job: str) -> dict[int, Outcome]:
        """What became of the job's pictures so far."""
        rows = self._database.read("SELECT image, state FROM pictures WHERE job = ? AND state != 'reserved'", job)
        return {row["image"]: row["state"] for row in rows}

    def result_of(self, job: str, image: int) -> str | None:
        """Hash of a saved picture's pixels among the stored pictures, where it was kept for others."""
        rows = self._database.read("SELECT result FROM pictures WHERE job = ? AND image = ?", job, image)
        return rows[0]["result"] if rows else None

    def stop_of(self, job: str) -> Stop:
        """How the job was asked to stop, "" when it was not."""
        rows = self._database.read("SELECT stop FROM jobs WHERE id = ?", job)
        stop: Stop = rows[0]["stop"] if rows else ""
        return stop

    def events_after(self, job: str, after: int = 0) -> list[Told]:
        """The stored events of a job with ids above `after`."""
        rows = self._database.read("SELECT id, event FROM events WHERE job = ? AND id > ? ORDER BY id", job, after)
        return [Told(row["id"], _STATE_EVENT.validate_json(row["event"])) for row in rows]

    def count_death(self, job: str, place: str) -> int:
        """Writes down that the process died while it ran the job at a place; how many times in a row it was there."""
        with self._change() as change:
            change.run(
                "UPDATE jobs SET deaths = CASE WHEN death_place = ? THEN deaths + 1 ELSE 1 END, death_place = ? "
                "WHERE id = ?",
                place,
                place,
                job,
            )
            row = change.row("SELECT deaths FROM jobs WHERE id = ?", job)
        return 0 if row is None else int(row["deaths"])

    def requeue(self, job: str) -> None:
        """Puts a running job back, in its old place, after a restart."""
        with self._change() as change:
            change.run("UPDATE jobs SET state = 'queued' WHERE id = ? AND state = 'running'", job)

    def finish(self, job: str, problem: Failed | None = None) -> None:
        """Ends a running job by what became of its pictures."""
        with self._change() as change:
            self._end(change, job, self._ending(change, job, problem))

    def _ending(self, change: Change, job: str, problem: Failed | None) -> Finished | Failed:
        row = change.row("SELECT stop, seconds FROM jobs WHERE id = ?", job)
        stop, seconds = (row["stop"], row["seconds"]) if row is not None else ("", 0.0)
        if stop == "cancel":
            return Finished(job=job, state="cancelled", seconds=seconds)
        saved = change.row("SELECT 1 FROM pictures WHERE job = ? AND state = 'saved' LIMIT 1", job)
        if problem is not None and saved is None:
            return problem
        return Finished(job=job, state="done", seconds=seconds)

    def _end(self, change: Change, id: str, event: Finished | Failed) -> bool:
        ended = change.run(
            "UPDATE jobs SET state = ?, ended = ? WHERE id = ? AND state IN ('queued', 'running')",
            event.state,
            self._clock(),
            id,
        )
        if ended:
            change.run("DELETE FROM pictures WHERE job = ? AND state = 'reserved'", id)
            change.tell(event)
        return ended > 0

    def _job(self, row: sqlite3.Row) -> Job:
        request, resolved = read_document(row["document"], row["version"])
        told = self._database.read(
            "SELECT event FROM events WHERE job = ? AND kind IN ('image', 'failed') ORDER BY id", row["id"]
        )
        events = [_STATE_EVENT.validate_json(event["event"]) for event in told]
        return Job(
            row["id"],
            row["owner"],
            row["state"],
            request,
            resolved,
            row["submitted"],
            row["started"],
            row["ended"],
            row["seconds"],
            tuple(event for event in events if isinstance(event, ImageReady)),
            next((event for event in events if isinstance(event, Failed)), None),
        )
