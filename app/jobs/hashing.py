"""Hashing: adds the sha256 of a job's files to its stored request, for the infotexts."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from app.files import CHECKPOINT, LORA, VAE, ModelFile, ModelLibrary
from app.jobs.job import Job
from app.jobs.networks import hashed
from app.jobs.store import Store
from app.schema.errors import EaselError
from app.schema.request import FileIdentity, ResolvedRequest

logger = logging.getLogger(__name__)


def lacks_hashes(resolved: ResolvedRequest) -> bool:
    """Whether a checkpoint or a network of a request is not hashed yet."""
    return any(
        one.checkpoint.sha256 is None or not all(use.hash for use in one.networks) for one in resolved.everything
    )


@dataclass(frozen=True)
class HashAhead:
    """Given to Jobs: a submitted request's files are hashed in the background, so that its first picture finds them."""

    library: ModelLibrary

    def __call__(self, resolved: ResolvedRequest) -> None:
        """Begins with what is not known yet, and returns at once."""
        for one in resolved.everything:
            files = [(CHECKPOINT, one.checkpoint), (VAE, one.vae)]
            wanted = [(kind, file) for kind, file in files if file is not None and file.sha256 is None]
            wanted += [(LORA, use.file) for use in one.networks if use.kind == LORA and not use.hash]
            for kind, file in wanted:
                entry = _entry(self.library, file, kind)
                if entry is not None:
                    self.library.hash_later(entry)


@dataclass(frozen=True)
class AddHashes:
    """Given to the Writer, on whose thread a large file is read while the engine draws."""

    library: ModelLibrary
    store: Store

    def __call__(self, job: Job) -> Job:
        """The job with the hashes that could be had; a file that was replaced meanwhile goes without."""
        resolved = self._with_hashes(job.resolved)
        if resolved == job.resolved:
            return job
        job = replace(job, resolved=resolved)
        self.store.set_document(job)
        return job

    def _with_hashes(self, resolved: ResolvedRequest) -> ResolvedRequest:
        """The same with the hashes of its files, those of its further passes and variants included."""
        return resolved.model_copy(
            update={
                "checkpoint": self._hashed(resolved.checkpoint, CHECKPOINT),
                "vae": self._hashed(resolved.vae, VAE) if resolved.vae else None,
                "networks": tuple(hashed(use, self.library) for use in resolved.networks),
                "passes": {name: self._with_hashes(one) for name, one in resolved.passes.items()},
                "variants": tuple(self._with_hashes(one) for one in resolved.variants),
            }
        )

    def _hashed(self, file: FileIdentity, kind: str) -> FileIdentity:
        if file.sha256 is not None:
            return file
        entry = _entry(self.library, file, kind)
        if entry is None:
            return file
        try:
            return file.model_copy(update={"sha256": self.library.hash(entry)})
        except EaselError as error:
            logger.warning("No hash for the infotext: %s", error)
            return file


def _entry(library: ModelLibrary, file: FileIdentity, kind: str) -> ModelFile | None:
    """The library's entry of a file that is still what it was when the job was submitted."""
    wanted = (file.path, file.size, file.mtime_ns)
    return next((entry for entry in library.list(kind) if entry.identity == wanted), None)
