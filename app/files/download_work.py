"""Download work: what is done for one download, from its source to its folder.

Brings what speaks HTTP, a fifth of a second: import it late. Knows no queue and no other download.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from app.files.addresses import Reach
from app.files.answers import Kept
from app.files.catalogue import Catalogue, RemoteFile, Wanted, models_in
from app.files.download_records import DONE, Download, DownloadRecords
from app.files.fetching import Fetcher
from app.files.folders import KINDS, LORA, Folders
from app.files.hashes import ADDNET, SHA256, sha256_of
from app.files.library import ModelLibrary
from app.files.model_file import Identity
from app.files.patience import Interrupted, Patience, Stop
from app.files.placing import place
from app.files.sources import Hosts, HubFiles, Source
from app.files.transfer import AlreadyThere, Transfer
from app.schema.errors import BrokenModelFile, DownloadFailed, EaselError
from app.setup.start import OFFLINE, OFFLINE_BY_US

_TRUE = ("1", "ON", "YES", "TRUE")


@dataclass(frozen=True)
class Board:
    """Where one download's state stands. show: stores new values. tell: shows bytes (received, total) without that."""

    now: Callable[[], Download]
    show: Callable[..., None]
    tell: Callable[[int, int | None], None]


@dataclass(frozen=True)
class DownloadWork:
    """What holds for all downloads of a process."""

    folders: Folders
    library: ModelLibrary
    records: DownloadRecords
    environ: Mapping[str, str]
    hosts: Hosts
    reach: Reach
    patience: Patience
    largest: int

    def files(self, source: Source, token: str) -> Sequence[RemoteFile]:
        """The models to choose from. Raises DownloadFailed."""
        self._refuse_offline(source)
        try:
            return models_in(self._catalogue(token, Stop()).files(source))
        except Interrupted as reason:
            raise DownloadFailed(f"The list could not be fetched: {reason}.", hint="Try again.") from reason

    def carry_out(self, source: Source, token: str, stop: Stop, board: Board) -> None:
        """Fetch, check and place; the board then says 'done'. Raises EaselError, Stopped."""
        part = self.records.part(board.now().id)
        self._refuse_offline(source)
        try:
            if not self._is_whole(board.now(), part):
                self._fetch(source, self._catalogue(token, stop), stop, board, part)
            self._place(board, part)
        except AlreadyThere as there:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            _done(board, path=str(there.path), name=there.path.name, message="It was there already.")
        except BrokenModelFile:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            board.show(received=0, total=None, validator="", sha256="")
            raise

    def _catalogue(self, token: str, stop: Stop) -> Catalogue:
        return Catalogue(Fetcher(self.patience), stop, self.hosts, token, self.reach, self.environ)

    def _refuse_offline(self, source: Source) -> None:
        offline = any(self.environ.get(name, "").upper() in _TRUE for name in (OFFLINE, "TRANSFORMERS_OFFLINE"))
        if isinstance(source.meaning, HubFiles) and offline and OFFLINE_BY_US not in self.environ:
            raise DownloadFailed(
                f"{OFFLINE} forbids to use the hub.", hint=f"Unset it, or set {OFFLINE}=0, to download from there."
            )

    def _fetch(self, source: Source, catalogue: Catalogue, stop: Stop, board: Board, part: Path) -> None:
        download = board.now()
        asked: list[Wanted] = []

        def wanted() -> Wanted:
            if not asked:
                found = catalogue.wanted(source, download.file)
                if download.wanted_sha256 and found.sha256 and found.sha256 != download.wanted_sha256:
                    raise DownloadFailed(
                        f"The file there has the checksum {found.sha256}, not {download.wanted_sha256} as wanted.",
                        hint="It was not downloaded: choose the version that is meant, or leave out the checksum.",
                    )
                asked.append(replace(found, sha256=download.wanted_sha256 or found.sha256))
            return asked[0]

        def keep(kept: Kept) -> None:
            board.show(
                received=kept.received,
                total=kept.total,
                validator=kept.validator,
                name=kept.name,
                sha256=kept.sha256,
            )

        transfer = Transfer(
            Fetcher(self.patience),
            stop,
            part,
            keep,
            board.tell,
            hindered=lambda reason: board.show(message=f"Trying again: {reason}.", speed=0.0),
            had=lambda kept: self._had(download, kept),
            largest=self.largest,
        )
        begun = Kept(download.received, download.total, download.validator, download.name, download.sha256)
        whole = transfer.run(wanted, begun)
        board.show(received=whole.received, total=whole.received, sha256=whole.sha256, name=whole.name)

    def _is_whole(self, download: Download, part: Path) -> bool:
        """Whether all bytes came in an earlier run, which then did not know where to put them."""
        if not download.sha256 or download.received != download.total or not part.is_file():
            return False
        wanted = download.wanted_sha256 or download.sha256
        return part.stat().st_size == download.total and sha256_of(part) == wanted == download.sha256

    def _had(self, download: Download, kept: Kept) -> Path | None:
        """Where the library has this file: by its checksum, or by what an earlier download of the same source was."""
        if kept.sha256:
            for (file, algorithm), value in dict(self.library.hashes.known).items():
                if algorithm == SHA256 and value == kept.sha256 and self._is_listed(file):
                    return Path(file.path)
        for one in self.records.all():
            same = (one.state, one.source, one.file) == (DONE, download.source, download.file)
            if same and kept.validator and (one.validator, one.total) == (kept.validator, kept.total):
                path = Path(one.path)
                if not kept.sha256 and path.is_file() and path.stat().st_size == one.total:
                    return path
        return None

    def _is_listed(self, file: Identity) -> bool:
        path = Path(file.path)
        places = [folder for kind in KINDS for folder in self.folders.of_kind(kind)]
        try:
            return any(path.is_relative_to(place) for place in places) and Identity.of(path) == file
        except OSError:
            return False

    def _place(self, board: Board, part: Path) -> None:
        download = board.now()
        placed = place(part, download.name or "download", download.sha256, self.folders, download.kind)
        self.library.hashes.remember({Identity.of(placed.path): download.sha256}, SHA256)
        self.library.refresh(placed.kind)
        self._hash_weights(placed.path, placed.kind)
        _done(board, path=str(placed.path), kind=placed.kind, name=placed.path.name, message=placed.remark)

    def _hash_weights(self, path: Path, kind: str) -> None:
        """A LoRA's second hash, by which infotexts name it; it is in memory from being written just now."""
        listed = next((file for file in self.library.list(kind) if file.path == path), None)
        if kind == LORA and listed is not None and not listed.problem:
            with suppress(EaselError):
                self.library.hashes.compute(listed, ADDNET)
                self.library.hash(listed)


def _done(board: Board, **values: str) -> None:
    board.show(state=DONE, speed=0.0, ended=time.time(), **values)
