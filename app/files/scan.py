"""Scan: every model file below the conventional folders, without opening one.

Follows symbolic links, visits each real folder once, and leaves nothing out because it looks broken.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from app.files.folders import CHECKPOINT, EMBEDDING, VAE, Folders
from app.files.model_file import Identity

MODEL_ENDINGS = (".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf")
# A1111 hides embeddings in pictures too; the library looks which of these are some.
PICTURE_ENDINGS = (".png",)
_VAE_ENDINGS = (".vae.safetensors", ".vae.ckpt", ".vae.pt")


class Found(NamedTuple):
    """One file, or one folder in diffusers' layout. mtime_ns, size: of a folder, newest and sum of its files."""

    path: Path
    name: str
    size: int
    mtime_ns: int
    folder: bool = False
    problem: str = ""

    @property
    def identity(self) -> Identity:
        """What the library's memory knows it by."""
        return Identity(str(self.path), self.size, self.mtime_ns)


def scan(folders: Folders, kind: str) -> list[Found]:
    """The files of one kind, each path once, in the order of the folders and then of the names.

    Checkpoint folders also hold VAEs, told by `.vae.` in their names (a1111-facts 6.5); folders of embeddings also
    pictures, of which those that hold none are the library's to leave out.
    """
    found: dict[str, Found] = {}
    for root in folders.of_kind(kind):
        endings = (*MODEL_ENDINGS, *PICTURE_ENDINGS) if kind == EMBEDDING else MODEL_ENDINGS
        files = (file for file in _walk(root, endings) if kind != CHECKPOINT or not _is_vae(file))
        found.update((str(file.path), file) for file in _in_order(files) if str(file.path) not in found)
    if kind == VAE:
        for root in folders.of_kind(CHECKPOINT):
            found.update((str(file.path), file) for file in _in_order(filter(_is_vae, _walk(root, MODEL_ENDINGS))))
    return list(found.values())


def _is_vae(file: Found) -> bool:
    return file.name.lower().endswith(_VAE_ENDINGS)


def _in_order(files: Iterable[Found]) -> list[Found]:
    return sorted(files, key=lambda file: natural(file.name))


def natural(name: str) -> list[str]:
    """Sorting key that puts 'v9' before 'v10' and does not care about capitals."""
    return [part.zfill(12) if part.isdecimal() else part for part in re.split(r"(\d+)", name.casefold())]


def _walk(root: Path, endings: tuple[str, ...]) -> Iterator[Found]:
    visited: set[tuple[int, int]] = set()
    waiting = [(str(root), "")]
    while waiting:
        folder, relative = waiting.pop()
        try:
            status = os.stat(folder)  # noqa: PTH116 (Path objects for each of thousands cost more than the scan)
            if (status.st_dev, status.st_ino) in visited:
                continue
            visited.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as listing:
                entries = list(listing)
        except OSError:
            continue  # a folder that is not there, or not ours to read, holds no models
        if relative and any(entry.name == "model_index.json" for entry in entries):
            yield _diffusers_folder(Path(folder), relative)
            continue
        for entry in entries:
            name = f"{relative}/{entry.name}" if relative else entry.name
            if _is_folder(entry):
                waiting.append((entry.path, name))
            elif entry.name.lower().endswith(endings) and not entry.name.startswith("._"):
                yield _file(entry, name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _file(entry: os.DirEntry[str], name: str) -> Found:
    try:
        status = entry.stat()
    except OSError as error:
        why = "the link leads nowhere" if entry.is_symlink() else str(error.strerror or error)
        return Found(Path(entry.path), name, 0, 0, problem=why)
    return Found(Path(entry.path), name, status.st_size, status.st_mtime_ns)


def _diffusers_folder(folder: Path, name: str) -> Found:
    identity = Identity.of(folder)
    return Found(folder, name, identity.size, identity.mtime_ns, folder=True)
