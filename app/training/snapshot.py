"""Snapshots: the whole state of a run on disk, written aside and read back before an older one goes.

A folder per snapshot: safetensors files and a manifest with their hashes, which is written last. Knows tensors by name
and a dictionary of numbers; what they mean is the caller's.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from app.schema.errors import CannotWrite, DiskFull

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
TENSORS = "tensors.safetensors"


class Snapshot(NamedTuple):
    """step: optimiser steps done. tensors: by name. facts: JSON values."""

    step: int
    tensors: dict[str, Tensor]
    facts: dict[str, Any]


class Manifest(NamedTuple):
    """A snapshot without its tensors. See `Snapshot`."""

    step: int
    facts: dict[str, Any]
    folder: Path


class Snapshots:
    """The snapshots of one run folder; keeps the newest `keep`."""

    def __init__(self, folder: Path, keep: int = 2) -> None:
        """folder: made where it is missing; one process at a time writes into it."""
        self._folder = folder
        self._keep = keep
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, snapshot: Snapshot) -> Path:
        """Writes a snapshot, reads it back, then removes what is older than the ones kept.

        Raises DiskFull or CannotWrite; older snapshots are untouched then.
        """
        final = self._folder / f"step-{snapshot.step:08d}"
        aside = final.with_name(final.name + ".tmp")
        try:
            for left in self._folder.glob("step-*.tmp"):  # by a process that was killed while it wrote
                shutil.rmtree(left, ignore_errors=True)
            aside.mkdir(parents=True)
            _write(aside / TENSORS, snapshot.tensors)
            _flush(aside / TENSORS)
            manifest = {
                "step": snapshot.step,
                "facts": snapshot.facts,
                "files": {TENSORS: _sha256(aside / TENSORS)},
            }
            (aside / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
            _flush(aside / MANIFEST)
            _flush(aside)
            shutil.rmtree(final, ignore_errors=True)
            aside.replace(final)
            _flush(self._folder)
        except OSError as error:
            shutil.rmtree(aside, ignore_errors=True)
            kind = DiskFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else CannotWrite
            raise kind(
                f"The snapshot {final} cannot be written: {error.strerror}.",
                hint="Free some space; the run goes on from the snapshot before.",
            ) from error
        if _whole(final) is not None:
            for older in self._all()[self._keep :]:
                shutil.rmtree(older, ignore_errors=True)
        return final

    def newest(self) -> Snapshot | None:
        """The newest snapshot that is whole. Its tensors lie in its file, which stays on the disk as long as they."""
        latest = self.latest()
        return latest and Snapshot(latest.step, load_file(latest.folder / TENSORS), latest.facts)

    def latest(self) -> Manifest | None:
        """The same without its tensors; damaged ones are passed over with a word in the log."""
        for folder in self._all():
            manifest = _whole(folder)
            if manifest is not None:
                return Manifest(manifest["step"], manifest["facts"], folder)
            logger.warning("The snapshot %s is damaged and is passed over", folder)
        return None

    def drop_after(self, step: int) -> None:
        """Removes those of later steps, but never the oldest."""
        for folder in self._all()[:-1]:
            if int(folder.name.removeprefix("step-")) > step:
                shutil.rmtree(folder, ignore_errors=True)

    def _all(self) -> list[Path]:
        return sorted((path for path in self._folder.glob("step-*") if path.suffix != ".tmp"), reverse=True)


def _whole(folder: Path) -> Mapping[str, Any] | None:
    """The manifest of a snapshot whose files have the hashes that it names, else None."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files = manifest["files"].items()
        return manifest if all(_sha256(folder / name) == digest for name, digest in files) else None
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None


def _write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Raises OSError with the system's number, which safetensors has only in words: '... (os error 28)'."""
    try:
        save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, path)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        # Windows counts otherwise than errno; OSError translates its fourth argument there and ignores it elsewhere.
        raise OSError(int(number[1]), str(error), str(path), int(number[1])) from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    if path.is_dir() and os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
