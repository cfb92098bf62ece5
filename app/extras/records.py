"""Records: what is known of each run of Extras, in one small file each, so that a killed one goes on."""

from __future__ import annotations

import json
import logging
import re
import secrets
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from app.files import write_whole
from app.schema.errors import JobNotFound
from app.schema.extras import ExtrasRequest

logger = logging.getLogger(__name__)

KEPT = 200
"""Runs that are over and still remembered."""
_ID = re.compile(r"[0-9a-f]{16}")
RunState = Literal["waiting", "running", "done", "failed", "cancelled"]
OVER = ("done", "failed", "cancelled")


class Source(BaseModel):
    """One picture to work on: `hash` in the blob store, or `path` on this machine. name: for people."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    hash: str = ""
    path: str = ""


class Made(BaseModel):
    """One saved picture. path: relative to the data folder where it lies below it. source: number of its source.
    facts: what was done, as the file says it. notice: for people, "" where all went as it was wished."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    source: int
    width: int
    height: int
    facts: str = ""
    notice: str = ""


class Failure(BaseModel):
    """Why a source came to nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: int
    message: str


class ExtrasRun(BaseModel):
    """One run as it was at some moment.

    folder: that the results go to, "" for the usual. next: the source whose turn it is. reserved: paths that the
    source in work may have been written under. deaths: how often the process ended at that source.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    id: str
    owner: str
    request: ExtrasRequest
    sources: tuple[Source, ...]
    folder: str = ""
    state: RunState = "waiting"
    next: int = 0
    reserved: tuple[Made, ...] = ()
    deaths: int = 0
    made: tuple[Made, ...] = ()
    failures: tuple[Failure, ...] = ()
    begun: float = 0.0

    @property
    def over(self) -> bool:
        """True when nothing more will come of it."""
        return self.state in OVER


class ExtrasRecords:
    """The records in one folder. Thread-safe within the process that owns the data folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._runs: dict[str, ExtrasRun] = {}
        for file in folder.glob("*.json"):
            run = _read(file)
            if run is not None:
                self._runs[run.id] = run

    def new_id(self) -> str:
        """16 hex digits that nobody guesses."""
        return secrets.token_hex(8)

    def keep(self, run: ExtrasRun) -> None:
        """On the disk when it returns. Raises DiskFull, CannotWrite."""
        with self._lock:
            write_whole(self._file(run.id), run.model_dump_json().encode())
            self._runs[run.id] = run

    def get(self, id: str) -> ExtrasRun:
        """Raises JobNotFound."""
        with self._lock:
            run = self._runs.get(id)
        if run is None:
            raise JobNotFound(f"There is no run of Extras '{id[:40]}'.")
        return run

    def all(self) -> list[ExtrasRun]:
        """The oldest first."""
        with self._lock:
            return sorted(self._runs.values(), key=lambda run: (run.begun, run.id))

    def hashes(self) -> set[str]:
        """Of the input pictures that are still needed."""
        return {source.hash for run in self.all() if not run.over for source in run.sources if source.hash}

    def forget_old(self) -> None:
        """Lets go of the oldest runs that are over, beyond KEPT."""
        over = [run for run in self.all() if run.over]
        self._forget(run.id for run in over[:-KEPT])

    def _forget(self, ids: Iterable[str]) -> None:
        for id in ids:
            with self._lock:
                self._runs.pop(id, None)
                self._file(id).unlink(missing_ok=True)

    def _file(self, id: str) -> Path:
        return self._folder / f"{id}.json"


def _read(file: Path) -> ExtrasRun | None:
    try:
        run = ExtrasRun.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        logger.warning("The record %s cannot be read and is left alone: %s", file.name, error)
        return None
    return run if run.id == file.stem and _ID.fullmatch(run.id) else None


def begun_now() -> float:
    """Seconds since 1970."""
    return time.time()
