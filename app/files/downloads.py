"""Downloads: fetches models in the background, one after the other, and puts each where its content belongs.

The list outlives the process; a killed download goes on where it was. Token and login stay in memory.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app.files.addresses import Reach
from app.files.download_records import (
    CANCELLED,
    DONE,
    FAILED,
    RUNNING,
    WAITING,
    Download,
    DownloadRecords,
)
from app.files.folders import KINDS, Folders
from app.files.library import ModelLibrary
from app.files.patience import Patience, Stop, Stopped
from app.files.sources import HUB, Hosts, Source, source_of
from app.schema.errors import DownloadFailed, EaselError, InvalidField, UnexpectedFailure

if TYPE_CHECKING:
    from app.files.catalogue import RemoteFile
    from app.files.download_work import DownloadWork

LARGEST = 200 * 10**9
"""Bytes of the largest file that is fetched."""

_log = logging.getLogger(__name__)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MOST_REMEMBERED = 100
_SPEED_OVER = 10.0
_TELL_EVERY = 0.1


@dataclass(frozen=True)
class Secrets:
    """What was given with a download and is never written down."""

    source: Source
    token: str


@dataclass
class Pace:
    """Bytes over the last seconds."""

    points: deque[tuple[float, int]]

    def told_within(self, seconds: float) -> bool:
        return bool(self.points) and time.monotonic() - self.points[-1][0] < seconds

    def speed(self, received: int) -> float:
        """Bytes per second, after noting that so many have come by now."""
        now = time.monotonic()
        self.points.append((now, received))
        while now - self.points[0][0] > _SPEED_OVER and len(self.points) > 2:
            self.points.popleft()
        begun, before = self.points[0]
        return max(received - before, 0) / (now - begun) if now > begun else 0.0


class Downloads:
    """One worker thread, begun with the first download. Every method may be called from any thread.

    environ: HF_ENDPOINT, HF_HUB_OFFLINE, CIVITAI_TOKEN. reach: rules for addresses. largest: bytes.
    """

    def __init__(
        self,
        folders: Folders,
        library: ModelLibrary,
        *,
        environ: Mapping[str, str] = os.environ,
        hosts: Hosts | None = None,
        reach: Reach | None = None,
        patience: Patience | None = None,
        largest: int = LARGEST,
    ) -> None:
        self._folders = folders
        self._library = library
        self._environ = environ
        self._hosts = hosts or Hosts(hub=environ.get("HF_ENDPOINT", "").rstrip("/") or HUB)
        self._reach = reach or Reach(private=False)
        self._patience = patience or Patience()
        self._largest = largest
        self._records = DownloadRecords(folders)
        self._changed = threading.Condition()
        self._live: dict[str, Download] = {}
        self._secrets: dict[str, Secrets] = {}
        self._queue: deque[str] = deque()
        self._current: tuple[str, Stop] | None = None
        self._cancelled: set[str] = set()
        self._closing = False
        self._thread: threading.Thread | None = None

    def start(
        self,
        source: str,
        *,
        file: str = "",
        kind: str | None = None,
        sha256: str | None = None,
        token: str | None = None,
        lasting: bool = True,
    ) -> Download:
        """Put a download into the queue, or take up an unfinished one of the same source again.

        source: repository, file in one, or address. file: which one of a repository. kind: overrides the content's.
        sha256: 64 hex digits that the file must have. lasting: `go_on` takes it up again when the process ends before
        it. Raises InvalidField, and DownloadFailed when another process is at it.
        """
        wanted = source_of(source, self._hosts)
        checksum = (sha256 or "").strip().lower()
        if checksum and not _SHA256.fullmatch(checksum):
            raise InvalidField("A sha256 has 64 hexadecimal digits.", field="sha256")
        if kind and kind not in KINDS:
            hint = f"One of: {', '.join(KINDS)}."
            raise InvalidField(f"There is no kind of model named '{kind[:40]}'.", field="kind", hint=hint)
        with self._changed:
            known = self._unfinished(wanted.text, file)
            if known is not None and known.id in self._live and not known.over:
                return known
            if known is not None and known.id not in self._live and self._records.is_worked_on(known.id):
                raise DownloadFailed(
                    "Another Easel process is just downloading this file.", hint="Wait for it, or stop it there."
                )
            download = known or Download(secrets.token_hex(8), wanted.text, file, begun=time.time())
            download = replace(
                download,
                kind=kind or "",
                wanted_sha256=checksum,
                state=WAITING,
                code="",
                message="",
                hint="",
                lasting=lasting,
            )
            self._records.keep(download)
            self._secrets[download.id] = Secrets(wanted, (token or "").strip())
            self._enqueue(download)
        self._trim()
        return download

    def files_in(self, source: str, *, token: str | None = None) -> Sequence[RemoteFile]:
        """The files to choose from, the usual one first; asks the network, in this thread. Raises DownloadFailed."""
        return self._work().files(source_of(source, self._hosts), (token or "").strip())

    def list(self) -> Sequence[Download]:
        """All that are remembered, the oldest first."""
        return [self._now(download) for download in self._records.all()]

    def get(self, id: str) -> Download:
        """One of them. Raises DownloadNotFound."""
        return self._now(self._records.get(id))

    def cancel(self, id: str) -> Download:
        """End it and throw away what has come; one that is over is taken from the list.

        Raises DownloadNotFound, and DownloadFailed when another process works on it.
        """
        download = self.get(id)
        if download.over:
            self._records.forget(id)
            return download
        with self._changed:
            if self._current is not None and self._current[0] == id:
                self._cancelled.add(id)
                self._current[1].ask()
                return download
            if id in self._queue:
                self._queue.remove(id)
        with self._records.working_on(id):
            return self._cancel(download)

    def wait(self, id: str, seconds: float) -> Download:
        """The download after its next change, or after so many seconds."""
        with self._changed:
            if not self.get(id).over:
                self._changed.wait(seconds)
        return self.get(id)

    def go_on(self) -> None:
        """Take up what an earlier process left unfinished."""
        for download in self.list():
            idle = not download.over and download.id not in self._live
            if idle and download.lasting and not self._records.is_worked_on(download.id):
                with self._changed, suppress(InvalidField):
                    self._secrets[download.id] = Secrets(source_of(download.source, self._hosts), "")
                    self._enqueue(download)

    def close(self) -> None:
        """Stop; what has come is kept."""
        with self._changed:
            self._closing = True
            if self._current is not None:
                self._current[1].ask()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _unfinished(self, source: str, file: str) -> Download | None:
        same = (one for one in self._records.all() if one.source == source and one.file == file)
        return next((self._live.get(one.id, one) for one in same if one.state not in (DONE, CANCELLED)), None)

    def _enqueue(self, download: Download) -> None:
        self._live[download.id] = download
        self._queue.append(download.id)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="downloads", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _now(self, download: Download) -> Download:
        live = self._live.get(download.id)
        if live is not None:
            return live
        if download.state == RUNNING and not self._records.is_worked_on(download.id):
            return replace(download, state=WAITING, speed=0.0)
        return download

    def _trim(self) -> None:
        over = [download for download in self._records.all() if download.over]
        for download in over[: max(len(over) - _MOST_REMEMBERED, 0)]:
            self._records.forget(download.id)

    def _work(self) -> DownloadWork:
        # Late, since it brings what speaks HTTP, which a start of the program does without.
        from app.files.download_work import DownloadWork  # noqa: PLC0415

        return DownloadWork(
            self._folders,
            self._library,
            self._records,
            self._environ,
            self._hosts,
            self._reach,
            self._patience,
            self._largest,
        )

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._closing:
                    self._changed.wait()
                if self._closing:
                    return
                id = self._queue.popleft()
                stop = Stop()
                self._current = (id, stop)
            try:
                with self._records.working_on(id):
                    self._one(id, stop)
            except EaselError as error:
                self._fail(id, error)
            except Exception as error:  # noqa: BLE001 - a defect ends one download, not the thread
                _log.exception("The download %s failed", id)
                self._fail(id, UnexpectedFailure(f"The download failed: {type(error).__name__}: {error}"))
            finally:
                with self._changed:
                    self._current = None
                    self._live.pop(id, None)
                    self._secrets.pop(id, None)
                    self._cancelled.discard(id)
                    self._changed.notify_all()

    def _one(self, id: str, stop: Stop) -> None:
        from app.files.download_work import Board  # noqa: PLC0415 - as above

        def show(**values: object) -> None:
            self._show(self._live[id], **values)

        known = self._secrets[id]
        show(state=RUNNING)
        try:
            board = Board(lambda: self._live[id], show, self._teller(id))
            self._work().carry_out(known.source, known.token, stop, board)
        except Stopped:
            if id in self._cancelled:
                self._cancel(self._live[id])
            else:
                show(state=WAITING, speed=0.0)

    def _teller(self, id: str) -> Callable[[int, int | None], None]:
        pace = Pace(deque())

        def tell(received: int, total: int | None) -> None:
            if pace.told_within(_TELL_EVERY) and received != total:
                return
            with self._changed:
                speed = pace.speed(received)
                self._live[id] = replace(self._live[id], received=received, total=total, speed=speed, message="")
                self._changed.notify_all()

        return tell

    def _show(self, download: Download, **values: object) -> None:
        """Store a download with new values and let everybody see it."""
        download = replace(download, **values)  # type: ignore[arg-type]
        self._records.keep(download)
        with self._changed:
            self._live[download.id] = download
            self._changed.notify_all()

    def _fail(self, id: str, error: EaselError) -> None:
        ended = {"state": FAILED, "speed": 0.0, "ended": time.time()}
        part = self._records.part(id)
        try:
            if part.is_file() and part.stat().st_size == 0:
                part.unlink()
            self._show(self._live[id], **ended, code=error.code, message=error.message, hint=error.hint)
        except (EaselError, OSError):
            _log.exception("The end of download %s cannot be written down", id)

    def _cancel(self, download: Download) -> Download:
        with suppress(OSError):
            self._records.part(download.id).unlink(missing_ok=True)
        download = replace(
            download, state=CANCELLED, received=0, total=None, validator="", speed=0.0, ended=time.time()
        )
        self._records.keep(download)
        with self._changed:
            self._live.pop(download.id, None)
            self._secrets.pop(download.id, None)
            self._changed.notify_all()
        return download
