"""FileIndex: what was learned of files (summaries, hashes), remembered by path, size and time in SQLite.

A memory, not a record: when the database is damaged, locked or cannot be written, everything is learned again.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from app.files.model_file import Identity, Problem, Summary
from app.files.network_facts import restored
from app.files.recognise import RECOGNITION_VERSION

_TABLES = """
CREATE TABLE IF NOT EXISTS summary (path BLOB PRIMARY KEY, size INTEGER, mtime_ns INTEGER, version INTEGER, text TEXT);
CREATE TABLE IF NOT EXISTS hash (path BLOB, size INTEGER, mtime_ns INTEGER, algorithm TEXT, value TEXT,
                                 PRIMARY KEY (path, algorithm));
"""

_log = logging.getLogger(__name__)


class FileIndex:
    """Owner of the database; every method may be called from any thread.

    path: of the database file, or None to remember nothing beyond this process.
    """

    def __init__(self, path: str | Path | None) -> None:
        self._lock = threading.Lock()
        self._connection = _open(path)

    def summaries(self) -> dict[Identity, Summary]:
        """All that is remembered, less what an older way of recognising has told."""
        query = "SELECT path, size, mtime_ns, text FROM summary WHERE version = ?"
        rows = self._read(query, (RECOGNITION_VERSION,))
        remembered = {}
        for path, size, time, text in rows:
            try:
                remembered[Identity(os.fsdecode(path), size, time)] = _summary(text)
            except (ValueError, KeyError, TypeError):
                continue  # a damaged row: the file is looked at again
        return remembered

    def remember_summaries(self, summaries: Mapping[Identity, Summary]) -> None:
        """Keep what was read; a path's older summary is replaced."""
        self._write(
            "INSERT OR REPLACE INTO summary VALUES (?, ?, ?, ?, ?)",
            (
                (os.fsencode(file.path), file.size, file.mtime_ns, RECOGNITION_VERSION, _text(summary))
                for file, summary in summaries.items()
            ),
        )

    def hashes(self) -> dict[tuple[Identity, str], str]:
        """(file, algorithm) -> hex digits, of all files as they were when they were hashed."""
        rows = self._read("SELECT path, size, mtime_ns, algorithm, value FROM hash")
        return {(Identity(os.fsdecode(path), size, time), name): value for path, size, time, name, value in rows}

    def remember_hashes(self, values: Mapping[Identity, str], algorithm: str) -> None:
        """Keep hashes; a path's older one by the same algorithm is replaced."""
        self._write(
            "INSERT OR REPLACE INTO hash VALUES (?, ?, ?, ?, ?)",
            ((os.fsencode(file.path), file.size, file.mtime_ns, algorithm, value) for file, value in values.items()),
        )

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._connection.close()

    def _read(self, query: str, values: tuple[object, ...] = ()) -> list[tuple]:
        with self._lock:
            try:
                return self._connection.execute(query, values).fetchall()
            except sqlite3.Error as error:
                _log.warning("The library's memory cannot be read (%s); files are looked at again.", error)
                return []

    def _write(self, statement: str, rows: Iterable[tuple]) -> None:
        with self._lock:
            try:
                with self._connection:
                    self._connection.executemany(statement, rows)
            except sqlite3.Error as error:
                _log.warning("The library's memory cannot be written (%s).", error)


def _open(path: str | Path | None) -> sqlite3.Connection:
    if path is not None:
        for attempt in ("as it is", "made anew"):
            try:
                return _connect(str(path))
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError) or attempt == "made anew":
                    _log.warning("The library's memory %s cannot be opened (%s).", path, error)
                    break
                Path(path).unlink(missing_ok=True)  # damaged: what it held can be learned again
    return _connect(":memory:")


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=5, check_same_thread=False)
    try:
        # No write-ahead log: it needs shared memory, which network drives lack; nothing here is worth an fsync.
        connection.execute("PRAGMA synchronous = OFF")
        connection.executescript(_TABLES)
        connection.execute("SELECT count(*) FROM summary").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _text(summary: Summary) -> str:
    fields = {name: getattr(summary, name) for name in Summary.__dataclass_fields__}
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


def _summary(text: str) -> Summary:
    fields = json.loads(text)
    fields["parts"] = tuple(fields["parts"])
    fields["metadata"] = tuple((key, value) for key, value in fields["metadata"])
    fields["problem"] = Problem(*fields["problem"]) if fields["problem"] else None
    fields["network"] = restored(fields["kind"], fields["network"])
    return Summary(**fields)
