"""ModelLibrary: every model file in the folders, found by any name that A1111 accepts.

Owns the list and the memory of what was read; opens a file only when it is new or has changed. Thread-safe.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from app.files import lookup
from app.files.folders import CHECKPOINT, VAE, Folders
from app.files.headers import read_header
from app.files.index import FileIndex
from app.files.model_file import Identity, ModelFile, Problem, Summary
from app.files.scan import Found, scan
from app.files.summarise import problem_in, summarise
from app.schema.errors import BrokenModelFile, ModelNotFound


class ModelLibrary:
    """The files of `folders` as of the last `refresh`; the first question refreshes.

    index_path: SQLite file that remembers summaries and hashes between starts; None remembers nothing.
    """

    def __init__(self, folders: Folders, index_path: str | Path | None = None) -> None:
        self.folders = folders
        self._index = FileIndex(index_path)
        self._summaries: dict[Identity, Summary] | None = None
        self._refreshing = threading.Lock()
        self._files: tuple[ModelFile, ...] | None = None

    def refresh(self) -> None:
        """Scan the folders again; whoever lists meanwhile sees the list before."""
        with self._refreshing:
            if self._summaries is None:
                self._summaries = self._index.summaries()
            known = self._summaries
            new: dict[Identity, Summary] = {}
            files = []
            hashes = self._index.hashes()
            for found in scan(self.folders):
                identity = Identity(str(found.path), found.size, found.mtime_ns)
                summary = known.get(identity) or new.get(identity)
                if summary is None:
                    summary = _look(found)
                    if not found.problem:
                        new[identity] = summary
                files.append(_entry(found, summary, identity, hashes))
            if new:
                self._index.remember_summaries(new)
                known.update(new)
            self._files = tuple(files)

    def list(self, kind: str | None = None) -> tuple[ModelFile, ...]:
        """Entries of a kind (all for None), those in grey included, in the order of folders and names."""
        if self._files is None:
            self.refresh()
        files = self._files or ()
        return files if kind is None else tuple(file for file in files if file.kind == kind)

    def find(self, text: str, kind: str = CHECKPOINT) -> ModelFile:
        """The entry that a name, title or hash means, as it is on disk now.

        Raises ModelNotFound naming what looks similar, and the entry's own problem when it cannot be used.
        """
        file = self._search(text, kind)
        if file is None or not _unchanged(file):
            self.refresh()
            file = self._search(text, kind)
        if file is None:
            similar = lookup.near(text, self.list(kind))
            hint = f"Similar: {', '.join(similar)}." if similar else "Put the file into its folder, or choose another."
            raise ModelNotFound(f"There is no {kind} named '{text[:200]}'.", field=kind, hint=hint)
        file.require_usable()
        return file

    def metadata(self, file: ModelFile) -> Mapping[str, str]:
        """All metadata of a safetensors file, long values included, read from the file; empty for other formats."""
        if file.summary.content != "SAFETENSORS":
            return {}
        return read_header(file.path).metadata

    def vae_beside(self, checkpoint: ModelFile) -> ModelFile | None:
        """The VAE whose file name begins with the checkpoint's stem (a1111-facts 6.5), or None."""
        usable = (file for file in self.list(VAE) if file.problem is None)
        return next((file for file in usable if file.file_name.startswith(checkpoint.stem)), None)

    def close(self) -> None:
        """Close the memory."""
        self._index.close()

    def _search(self, text: str, kind: str) -> ModelFile | None:
        return lookup.find(text, self.list(kind), kind)


def _look(found: Found) -> Summary:
    if found.problem:
        return Summary("UNKNOWN", problem=Problem(BrokenModelFile.code, f"It cannot be read: {found.problem}."))
    return summarise(found.path)


def _entry(found: Found, summary: Summary, identity: Identity, hashes: Mapping[tuple[Identity, str], str]) -> ModelFile:
    return ModelFile(
        found.path,
        found.kind,
        found.name.encode("utf-8", "replace").decode("utf-8"),
        found.size,
        found.mtime_ns,
        summary,
        problem_in(found.kind, summary),
        sha256=hashes.get((identity, "sha256")),
        addnet_hash=hashes.get((identity, "addnet")),
        legacy_hash=hashes.get((identity, "legacy")),
        folder=found.folder,
    )


def _unchanged(file: ModelFile) -> bool:
    if file.folder:
        return file.path.is_dir()
    try:
        return Identity.of(file.path) == file.identity
    except OSError:
        return False
