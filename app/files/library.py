"""ModelLibrary: every model file in the folders, found by any name that A1111 accepts.

Owns the list and the memory of what was read; opens a file only when it is new or has changed. Thread-safe.
"""

from __future__ import annotations

import builtins
import logging
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from app.files import lookup
from app.files.folders import CHECKPOINT, KINDS, LORA, VAE, Folders
from app.files.hashes import ADDNET, LEGACY, SHA256, Cancelled, Hashes, legacy_hash
from app.files.headers import read_header
from app.files.index import FileIndex
from app.files.model_file import Identity, ModelFile, Problem, Summary
from app.files.scan import PICTURE_ENDINGS, Found, scan
from app.files.sidecars import sidecars
from app.files.summarise import UNREADABLE, problem_in, summarise
from app.schema.choices import AUTOMATIC
from app.schema.errors import BrokenModelFile, EaselError, ModelNotFound

Known = Mapping[tuple[Identity, str], str]
# A first scan of thousands that is broken off goes on from here.
_REMEMBERED_AT_ONCE = 500

_log = logging.getLogger(__name__)


class ModelLibrary:
    """The files of `folders` as of the last `refresh`; the first question about a kind scans it.

    index_path: SQLite file that remembers summaries and hashes between starts; None remembers nothing.
    """

    def __init__(self, folders: Folders, index_path: str | Path | None = None) -> None:
        self.folders = folders
        self._index = FileIndex(index_path)
        self.hashes = Hashes(self._index)
        self._summaries = self._index.summaries()
        self._refreshing = {kind: threading.Lock() for kind in KINDS}
        self._publishing = threading.Lock()
        self._scans: dict[str, int] = dict.fromkeys(KINDS, 0)
        self._files: dict[str, tuple[ModelFile, ...]] = {}

    def refresh(self, kind: str | None = None) -> None:
        """Scan the folders of a kind (all for None) again; whoever lists meanwhile sees the list before."""
        for one in KINDS if kind is None else (kind,):
            begun = self._scans[one]
            with self._refreshing[one]:
                if self._scans[one] > begun + 1:
                    continue  # another thread's scan began after this call and has ended: its list is new enough
                looked_at = self._scan(one)
                self._scans[one] += 1
                with self._publishing:
                    known = self.hashes.known
                    self._files[one] = tuple(_entry(found, one, summary, known) for found, summary in looked_at)

    def _scan(self, kind: str) -> builtins.list[tuple[Found, Summary]]:
        new: dict[Identity, Summary] = {}
        looked_at = []
        for found in scan(self.folders, kind):
            summary = self._summaries.get(found.identity)
            if summary is None:
                summary = _look(found)
                if not found.problem and summary.content != UNREADABLE:
                    new[found.identity] = self._summaries[found.identity] = summary
            # Among embeddings lie their previews, and whatever pictures the user keeps there: no models, nothing wrong.
            if summary.kind or not found.name.lower().endswith(PICTURE_ENDINGS):
                looked_at.append((found, summary))
            if len(new) >= _REMEMBERED_AT_ONCE:
                self._index.remember_summaries(new)
                new = {}
        if new:
            self._index.remember_summaries(new)
        return looked_at

    def list(self, kind: str) -> tuple[ModelFile, ...]:
        """Entries of a kind, those in grey included, in the order of folders and names. The first call scans."""
        files = self._files.get(kind)
        if files is None:
            self.refresh(kind)
            files = self._files[kind]
        return files

    def find(self, text: str, kind: str = CHECKPOINT) -> ModelFile:
        """The entry that a name, title or hash means, as it is on disk now.

        Raises ModelNotFound naming what looks similar, and the entry's own problem when it cannot be used.
        """
        file = self.entry(text, kind)
        file.require_usable()
        return file

    def entry(self, text: str, kind: str = CHECKPOINT) -> ModelFile:
        """The same, also when it cannot be used. Raises ModelNotFound."""
        file = self._search(text, kind)
        if file is None or not _unchanged(file):
            self.refresh(kind)
            file = self._search(text, kind)
        if file is None:
            similar = lookup.near(text, self.list(kind))
            hint = f"Similar: {', '.join(similar)}." if similar else "Put the file into its folder, or choose another."
            raise ModelNotFound(f"There is no {kind} named '{text[:200]}'.", field=kind, hint=hint)
        return file

    def entry_at(self, path: str | Path) -> ModelFile:
        """An entry for a file or diffusers folder that may lie anywhere; its kind is what its content says.

        Raises ModelNotFound where there is nothing.
        """
        path = Path(path).expanduser().absolute()
        try:
            identity = Identity.of(path)
        except OSError:
            raise ModelNotFound(f"There is no file {path}.") from None
        summary = self._summaries.get(identity) or summarise(path)
        found = Found(path, path.name, identity.size, identity.mtime_ns, folder=path.is_dir())
        return _entry(found, summary.kind, summary, self.hashes.known)

    def hash(self, file: ModelFile, cancelled: Cancelled | None = None) -> str:
        """The file's sha256 (64 hex digits), computed now unless it is known; its title then carries ten of them.

        Raises ModelChanged, BrokenModelFile, and CancelledError once `cancelled()` is true.
        """
        value = self.hashes.compute(file, SHA256, cancelled)
        self._show_hashes(file)
        return value

    def hash_later(self, file: ModelFile) -> Future[str]:
        """The same in the background; for a LoRA also its addnet hash, by which infotexts name it."""

        def task(closing: Cancelled) -> str:
            if file.kind == LORA:
                self.hashes.compute(file, ADDNET, closing)
            return self.hash(file, closing)

        return self.hashes.later(task)

    def metadata(self, file: ModelFile) -> Mapping[str, str]:
        """All metadata of a safetensors file, long values included, read from the file; empty for other formats."""
        if file.summary.content != "SAFETENSORS":
            return {}
        return read_header(file.path).metadata

    def vae_of(self, checkpoint: ModelFile) -> ModelFile | None:
        """The VAE that 'Automatic' means for a checkpoint; None for its own (a1111-facts 6.5).

        What its user metadata (`<stem>.json`, 'vae') name, else one whose file name begins with its stem. A name that
        is no longer there counts as unsaid.
        """
        said = sidecars(checkpoint).user_metadata.get("vae")
        if isinstance(said, str) and said not in ("", AUTOMATIC):
            if said == "None":
                return None
            try:
                return self.find(said, VAE)
            except EaselError as error:
                _log.warning("The VAE that is noted for %s is left out: %s", checkpoint.name, error)
        return self.vae_beside(checkpoint)

    def vae_beside(self, checkpoint: ModelFile) -> ModelFile | None:
        """The VAE whose name begins with the checkpoint's stem: `<stem>.vae...` before others, then the shortest."""
        stem = checkpoint.stem
        usable = (file for file in self.list(VAE) if file.problem is None and file.file_name.startswith(stem))
        exact = f"{stem}.vae.".casefold()
        return min(
            usable,
            key=lambda file: (not file.file_name.casefold().startswith(exact), len(file.file_name)),
            default=None,
        )

    def close(self) -> None:
        """Stop hashing and close the memory."""
        self.hashes.close()
        self._index.close()

    def _search(self, text: str, kind: str) -> ModelFile | None:
        files = self.list(kind)
        if kind == CHECKPOINT and lookup.needs_legacy_hash(text):
            files = self._with_legacy_hashes(files)
        return lookup.find(text, files, kind)

    def _with_legacy_hashes(self, files: tuple[ModelFile, ...]) -> tuple[ModelFile, ...]:
        lacking = [file for file in files if file.legacy_hash is None and not file.folder and file.problem is None]
        found = {}
        for file in lacking:
            with suppress(OSError):
                found[file.identity] = legacy_hash(file.path)
        if found:
            self.hashes.remember(found, LEGACY)
            self._show_hashes(*lacking)
        return self.list(CHECKPOINT)

    def _show_hashes(self, *of: ModelFile) -> None:
        """Put into the list what has become known of these files since it was made."""
        changed = {(file.size, file.mtime_ns) for file in of}
        with self._publishing:
            known = self.hashes.known
            for kind, files in self._files.items():
                self._files[kind] = tuple(
                    _with_hashes(file, known) if (file.size, file.mtime_ns) in changed else file for file in files
                )


def _look(found: Found) -> Summary:
    if found.problem:
        return Summary("UNKNOWN", problem=Problem(BrokenModelFile.code, f"It cannot be read: {found.problem}."))
    return summarise(found.path)


def _entry(found: Found, kind: str, summary: Summary, known: Known) -> ModelFile:
    entry = ModelFile(
        found.path,
        kind,
        found.name.encode("utf-8", "replace").decode("utf-8"),
        found.size,
        found.mtime_ns,
        summary,
        problem_in(kind, summary),
        folder=found.folder,
    )
    return _with_hashes(entry, known)


def _with_hashes(file: ModelFile, known: Known) -> ModelFile:
    identity = file.identity
    sha256, addnet, legacy = (known.get((identity, algorithm)) for algorithm in (SHA256, ADDNET, LEGACY))
    if (sha256, addnet, legacy) == (file.sha256, file.addnet_hash, file.legacy_hash):
        return file
    return replace(file, sha256=sha256, addnet_hash=addnet, legacy_hash=legacy)


def _unchanged(file: ModelFile) -> bool:
    if file.folder:
        return file.path.is_dir()
    try:
        return Identity.of(file.path) == file.identity
    except OSError:
        return False
