"""Database: the jobs' SQLite file, opened to survive kills, full disks and network drives.

Knows tables and transactions, not what a job is.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from app.schema.errors import CannotWrite, DiskFull, EaselError, NewerVersion

logger = logging.getLogger(__name__)

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE jobs (
        sequence    INTEGER PRIMARY KEY AUTOINCREMENT,
        id          TEXT NOT NULL UNIQUE,
        owner       TEXT NOT NULL,
        state       TEXT NOT NULL,
        stop        TEXT NOT NULL DEFAULT '',
        version     INTEGER NOT NULL,
        document    TEXT NOT NULL,
        submitted   REAL NOT NULL,
        started     REAL,
        ended       REAL,
        seconds     REAL NOT NULL DEFAULT 0,
        deaths      INTEGER NOT NULL DEFAULT 0,
        death_place TEXT NOT NULL DEFAULT ''
    );
    CREATE INDEX jobs_by_state ON jobs (state, sequence);
    CREATE INDEX jobs_by_owner ON jobs (owner, sequence);
    CREATE TABLE pictures (
        job   TEXT NOT NULL,
        image INTEGER NOT NULL,
        state TEXT NOT NULL,
        path  TEXT UNIQUE,
        ready TEXT,
        PRIMARY KEY (job, image)
    ) WITHOUT ROWID;
    CREATE TABLE events (
        id    INTEGER PRIMARY KEY AUTOINCREMENT,
        job   TEXT NOT NULL,
        kind  TEXT NOT NULL,
        at    REAL NOT NULL,
        event TEXT NOT NULL
    );
    CREATE INDEX events_by_job ON events (job, id);
    """,
    """
    CREATE TABLE trainings (
        sequence  INTEGER PRIMARY KEY AUTOINCREMENT,
        id        TEXT NOT NULL UNIQUE,
        owner     TEXT NOT NULL,
        state     TEXT NOT NULL,
        wish      TEXT NOT NULL DEFAULT 'go',
        version   INTEGER NOT NULL,
        document  TEXT NOT NULL,
        folder    TEXT NOT NULL,
        submitted REAL NOT NULL,
        started   REAL,
        ended     REAL,
        deaths    INTEGER NOT NULL DEFAULT 0,
        death_at  INTEGER NOT NULL DEFAULT -1
    );
    CREATE INDEX trainings_by_state ON trainings (state, sequence)
    """,
    "ALTER TABLE pictures ADD COLUMN result TEXT",
)
"""MIGRATIONS[n] takes the tables from version n to version n + 1."""

_NETWORK_FILE_SYSTEMS = ("nfs", "cifs", "smb", "afp", "webdav", "davfs", "9p", "ceph", "gluster", "lustre", "fuse")


class Database:
    """One connection, used by one thread at a time under a lock; a statement takes well below a millisecond."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._told_in_words():
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
            self._connection.row_factory = sqlite3.Row
            # A write-ahead log needs memory shared between processes, which network drives do not have.
            self.journal_mode = "DELETE" if on_network_drive(path.parent) else "WAL"
            self._connection.execute(f"PRAGMA journal_mode = {self.journal_mode}")
            self._connection.execute("PRAGMA synchronous = FULL")
        self._migrate()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction, kept whole or not at all. Raises DiskFull or CannotWrite, with nothing kept."""
        with self._lock, self._told_in_words():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def read(self, statement: str, *values: object) -> list[sqlite3.Row]:
        """All rows of a query."""
        with self._lock, self._told_in_words():
            return self._connection.execute(statement, values).fetchall()

    def close(self) -> None:
        """Closes the file; the write-ahead log is folded into it."""
        with self._lock:
            self._connection.close()

    def _migrate(self) -> None:
        version = int(self.read("PRAGMA user_version")[0][0])
        if version > len(MIGRATIONS):
            self.close()
            raise NewerVersion(
                f"{self._path} was written by a newer Easel (tables of version {version}; "
                f"this one reads {len(MIGRATIONS)}).",
                hint="Update Easel, or start with another --data-dir.",
            )
        for number in range(version, len(MIGRATIONS)):
            with self.write() as connection:
                for statement in MIGRATIONS[number].split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number + 1}")

    @contextmanager
    def _told_in_words(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise self._in_words(error) from error

    def _in_words(self, error: sqlite3.DatabaseError) -> EaselError:
        code = getattr(error, "sqlite_errorcode", None)
        if code == sqlite3.SQLITE_FULL:
            return DiskFull(f"No room is left to write {self._path}.", hint="Free some disk space and try again.")
        return CannotWrite(
            f"The job database {self._path} cannot be used: {error}.",
            hint="Check its permissions, or start with another --data-dir.",
        )


def on_network_drive(folder: Path) -> bool:
    """Whether the folder lies on a network file system, as far as the mount table tells."""
    wanted = folder.resolve()
    mounts = [mount for mount in psutil.disk_partitions(all=True) if wanted.is_relative_to(mount.mountpoint)]
    if not mounts:
        return str(wanted).startswith("\\\\")
    mount = max(mounts, key=lambda mount: len(mount.mountpoint))
    kind = mount.fstype.lower()
    return "remote" in mount.opts.split(",") or (kind.startswith(_NETWORK_FILE_SYSTEMS) and kind != "fuseblk")
