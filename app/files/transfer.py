"""Transfer: brings one file into a part file, byte for byte, over as many connections as it takes.

Goes on where the part ends if the server still has the same file, else from the start. Judges size and checksum,
and the content only so far as to see that it is no web page. Import it late, as it brings httpx2.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from app.files.answers import Kept, host_of, learned, place_of, refuse_pages, told_checksum
from app.files.catalogue import Wanted
from app.files.fetching import Answer, Fetcher
from app.files.patience import Interrupted, Stop, Stopped
from app.files.whole_file import cannot_write
from app.schema.errors import DiskFull, DownloadFailed

ROOM_LEFT = 256 * 2**20
"""Bytes that stay free on the disk."""
PROGRESS = 1 << 20
"""Bytes beyond the farthest point ever reached that make a try count as progress."""
# So much at most is fetched again after a power cut, whichever comes first: seconds, bytes.
_KEPT_EVERY = 3.0
_KEPT_AT_LEAST = 32 * 2**20
_SNIFFED = 4096
_CHUNK = 1 << 20


class AlreadyThere(Exception):
    """The file is here; nothing was fetched."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.path = path


class Transfer:
    """One file on its way. keep: stores what is needed to go on; called before and after bytes are written.

    tell: hears of every chunk (received, total). hindered: hears why it tries again. had: where the file is already,
    judged by what the headers tell.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        stop: Stop,
        part: Path,
        keep: Callable[[Kept], None],
        tell: Callable[[int, int | None], None],
        *,
        hindered: Callable[[str], None] = lambda reason: None,
        had: Callable[[Kept], Path | None] = lambda known: None,
        largest: int,
        room_left: int = ROOM_LEFT,
    ) -> None:
        self._fetcher = fetcher
        self._stop = stop
        self._part = part
        self._keep = keep
        self._tell = tell
        self._hindered = hindered
        self._had = had
        self._largest = largest
        self._room_left = room_left
        self._farthest = 0
        self._last: Kept | None = None
        self._digest = hashlib.sha256()
        self._digested = 0

    def run(self, wanted: Callable[[], Wanted], kept: Kept) -> Kept:
        """Fetch until whole; `received` is then its size, `sha256` its checksum, computed here.

        wanted: asks the source, and is asked again at each try. Raises DownloadFailed, DiskFull, CannotWrite,
        AlreadyThere, Stopped.
        """
        patience = self._fetcher.patience
        failures = 0
        self._farthest = kept.received
        while True:
            before = self._farthest
            try:
                return self._once(wanted(), kept)
            except Interrupted as reason:
                kept = self._last or kept
                failures = 1 if self._farthest >= before + PROGRESS else failures + 1
                pause = max(patience.pause * 2 ** (failures - 1), reason.after)
                if failures >= patience.tries or pause > patience.longest_pause:
                    raise _given_up(reason, kept) from reason
                self._hindered(str(reason))
                self._stop.pause(pause)

    def _remember(self, kept: Kept) -> None:
        self._last = kept
        self._keep(kept)

    def _once(self, wanted: Wanted, kept: Kept) -> Kept:
        with self._opened() as file:
            at = min(kept.received, file.seek(0, os.SEEK_END))
            checksum = wanted.sha256 or kept.sha256
            if at and not (kept.validator or checksum):
                at = 0  # nothing could tell whether the rest belongs to the same file
            self._digest_to(file, at)
            headers = {**wanted.headers, "Accept-Encoding": "identity"}
            if at:
                headers["Range"] = f"bytes={at}-"
                if kept.validator:
                    headers["If-Range"] = kept.validator
            with self._fetcher.get(wanted.url, wanted.reach, self._stop, headers) as answer:
                begin, total = place_of(answer, at, kept)
                told = told_checksum(answer)
                if begin is None or (begin and told and kept.sha256 not in ("", told)):
                    self._start_again(file, kept)
                    raise Interrupted("the server does not go on where the download ended")
                known = learned(answer, wanted, replace(kept, received=begin, total=total))
                if (path := self._had(known)) is not None:
                    raise AlreadyThere(path)
                self._check_room(known, wanted)
                file.truncate(begin)
                self._digest_to(file, begin)
                self._remember(known)
                chunks = answer.chunks() if answer.status != 416 else iter(())
                known = self._receive(file, chunks, known, answer)
            if known.total is not None and known.received != known.total:
                raise Interrupted(f"only {known.received:,} of {known.total:,} bytes came")
        return self._checked(replace(known, total=known.received), self._digest.hexdigest())

    def _opened(self) -> BinaryIO:
        try:
            self._part.parent.mkdir(parents=True, exist_ok=True)
            return self._part.open("r+b" if self._part.exists() else "w+b")
        except OSError as error:
            raise cannot_write(self._part, error) from error

    def _digest_to(self, file: BinaryIO, end: int) -> None:
        """Bring the running checksum to this place: what an earlier process fetched is read once."""
        if self._digested == end:
            return
        self._digest, self._digested = hashlib.sha256(), 0
        file.seek(0)
        while self._digested < end and (chunk := file.read(min(_CHUNK, end - self._digested))):
            if self._stop.asked:
                raise Stopped
            self._digest.update(chunk)
            self._digested += len(chunk)

    def _start_again(self, file: BinaryIO, kept: Kept) -> None:
        file.truncate(0)
        self._remember(Kept(name=kept.name))

    def _check_room(self, known: Kept, wanted: Wanted) -> None:
        size = known.total if known.total is not None else wanted.size or 0
        if wanted.size is not None and known.total is not None and wanted.size != known.total:
            raise DownloadFailed(
                f"The file is said to have {wanted.size:,} bytes, but the server sends {known.total:,}.",
                hint="It may just have been replaced there: try again later, or choose another mirror.",
            )
        if size > self._largest:
            raise DownloadFailed(f"The file has {size:,} bytes; the limit is {self._largest:,}.")
        self._check_disk(size - known.received)

    def _check_disk(self, needed: int) -> None:
        free = shutil.disk_usage(self._part.parent).free
        if needed + self._room_left > free:
            raise DiskFull(
                f"The download needs {max(needed, 0) / 1e9:,.1f} GB more; the disk has {free / 1e9:,.1f} GB left.",
                hint=f"Free some space on the drive of {self._part.parent}; what has come is kept.",
            )

    def _receive(self, file: BinaryIO, chunks: Iterator[bytes], known: Kept, answer: Answer) -> Kept:
        """Write what comes, telling and keeping how far it is; also what came before a failure is kept."""
        received = known.received
        most = known.total if known.total is not None else self._largest
        file.seek(received)
        first = b"" if received == 0 else None
        kept_at = window_at = time.monotonic()
        window_from = kept_bytes = received
        try:
            for chunk in chunks:
                if received + len(chunk) > most:
                    raise DownloadFailed(f"{host_of(answer)} sends more than the {most:,} bytes that were to come.")
                if first is not None:
                    first += chunk
                    if len(first) >= _SNIFFED:
                        refuse_pages(first, answer)
                        first = None
                file.write(chunk)
                self._digest.update(chunk)
                received = self._digested = received + len(chunk)
                self._farthest = max(self._farthest, received)
                self._tell(received, known.total)
                now = time.monotonic()
                if now - window_at > self._fetcher.patience.window:
                    if received - window_from < self._fetcher.patience.slowest * (now - window_at):
                        raise Interrupted(f"{host_of(answer)} sends next to nothing")
                    window_at, window_from = now, received
                if now - kept_at > _KEPT_EVERY or received - kept_bytes > _KEPT_AT_LEAST:
                    kept_at, kept_bytes = now, received
                    _flush(file)
                    self._remember(replace(known, received=received))
                    if known.total is None:
                        self._check_disk(0)
            if first is not None:
                refuse_pages(first, answer)
        except DownloadFailed:
            # What came is not the file that was meant: it must not pass for its beginning.
            file.truncate(0)
            known, received = Kept(name=known.name), 0
            raise
        except OSError as error:
            raise cannot_write(self._part, error) from error
        finally:
            with suppress(OSError):
                _flush(file)
                self._remember(replace(known, received=received))
        return replace(known, received=received)

    def _checked(self, known: Kept, computed: str) -> Kept:
        if known.sha256 and known.sha256 != computed:
            with suppress(OSError):
                self._part.unlink()
            self._remember(Kept(sha256=known.sha256, name=known.name))
            raise DownloadFailed(
                f"The file's checksum is {computed}, not {known.sha256} as it should be. It was thrown away.",
                hint="Try again; if it stays so, the file there is damaged or not the one that was meant.",
            )
        return replace(known, sha256=computed)


def _flush(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _given_up(reason: Interrupted, kept: Kept) -> DownloadFailed:
    if reason.after > 0:
        hint = f"Try again in {reason.after / 60:.0f} minutes." if reason.after > 90 else "Try again in a minute."
    else:
        hint = "Start it again later."
    have = f" {kept.received / 1e6:,.1f} MB are kept, and it goes on from there." if kept.received else ""
    words = str(reason)
    return DownloadFailed(f"{words[:1].upper()}{words[1:]}.{have}".replace("..", "."), hint=hint)
