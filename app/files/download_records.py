"""Download records: what is known of each download, in one small file each, so that a killed one goes on.

Several processes may look; the one that holds a record's lock works on it. Tokens and logins are never written.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from app.files.folders import Folders
from app.files.placing import PART
from app.files.whole_file import write_whole
from app.schema.errors import DownloadFailed, DownloadNotFound

_log = logging.getLogger(__name__)

VERSION = 1
_ID = re.compile(r"[0-9a-f]{16}")

WAITING = "waiting"
RUNNING = "running"
DONE = "done"
FAILED = "failed"
CANCELLED = "cancelled"
OVER = (DONE, FAILED, CANCELLED)


@dataclass(frozen=True)
class Download:
    """One download as it was at some moment.

    source: as typed, without secrets. file: chosen in a repository, "" for the only one. kind: asked for, "" for what
    the content says; after 'done' the one it became. sha256: 64 hex digits, "" while unknown. wanted_sha256: by the
    user. name: of the file. received, total: bytes. speed: bytes per second of the last seconds. path: where it lies.
    message, hint, code: of a failure; message also says why a running one tries again, and remarks on a file that is
    in place. begun, ended: seconds since 1970. validator: names the state of the file at the server. lasting: a server
    takes it up again when it is started.
    """

    id: str
    source: str
    file: str = ""
    kind: str = ""
    wanted_sha256: str = ""
    state: str = WAITING
    name: str = ""
    sha256: str = ""
    received: int = 0
    total: int | None = None
    speed: float = 0.0
    path: str = ""
    code: str = ""
    message: str = ""
    hint: str = ""
    begun: float = 0.0
    ended: float = 0.0
    validator: str = ""
    lasting: bool = True

    @property
    def over(self) -> bool:
        return self.state in OVER

    @property
    def eta(self) -> float | None:
        """Seconds until the last byte, None when nothing tells."""
        if self.over or self.total is None or self.speed <= 0:
            return None
        return max(self.total - self.received, 0) / self.speed


class DownloadRecords:
    """The records of a data folder. Parts lie beside the model folders, on their disk, where nothing is scanned."""

    def __init__(self, folders: Folders) -> None:
        self._folder = folders.state / "downloads"
        self._quarantine = folders.models / ".downloads"

    def part(self, id: str) -> Path:
        """The file that the bytes go to until their content is known."""
        return self._quarantine / (id + PART)

    def keep(self, download: Download) -> None:
        """On the disk when it returns. Raises CannotWrite, DiskFull."""
        text = json.dumps({"version": VERSION, **asdict(download)}, ensure_ascii=False, indent=1)
        write_whole(self._path(download.id), text.encode("utf-8", "replace"))

    def get(self, id: str) -> Download:
        """Raises DownloadNotFound."""
        found = _read(self._path(id)) if _ID.fullmatch(id) else None
        if found is None:
            raise DownloadNotFound(f"There is no download '{id[:40]}'.")
        return found

    def all(self) -> list[Download]:
        """The oldest first; records of another version are left alone and left out."""
        found = (_read(path) for path in self._folder.glob("*.json"))
        return sorted((one for one in found if one is not None), key=lambda one: (one.begun, one.id))

    def forget(self, id: str) -> None:
        """Remove the record and what was fetched."""
        for path in (self.part(id), self._path(id), self._lock(id)):
            with suppress(OSError):
                path.unlink(missing_ok=True)

    @contextmanager
    def working_on(self, id: str, patience: float = 0.5) -> Iterator[None]:
        """Hold a download, which no other process may then work on. Raises DownloadFailed when one does.

        patience: seconds to try for, since looking whether it is held holds it for an instant.
        """
        # Late, since a start of the program needs no lock on downloads.
        from filelock import FileLock, Timeout  # noqa: PLC0415

        self._folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._lock(id), timeout=patience, poll_interval=0.02)
        try:
            lock.acquire()
        except Timeout:
            raise DownloadFailed(
                "Another Easel process is just downloading this file.", hint="Wait for it, or stop it there."
            ) from None
        try:
            yield
        finally:
            lock.release()

    def is_worked_on(self, id: str) -> bool:
        """Whether some process holds it."""
        try:
            with self.working_on(id, patience=0):
                return False
        except DownloadFailed:
            return True

    def _path(self, id: str) -> Path:
        return self._folder / f"{id}.json"

    def _lock(self, id: str) -> Path:
        return self._folder / f"{id}.lock"


def _read(path: Path) -> Download | None:
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
        if values.pop("version") != VERSION:
            return None
        known = {field.name for field in fields(Download)}
        download = Download(**{name: value for name, value in values.items() if name in known})
        return download if download.id == path.stem and _ID.fullmatch(download.id) else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        if not isinstance(error, FileNotFoundError):
            _log.warning("The record %s cannot be read: %s", path.name, error)
        return None
