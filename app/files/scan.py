"""Scan: every model file below the conventional folders, without opening one.

Follows symbolic links, visits each real folder once, and leaves nothing out because it looks broken.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from app.files.folders import CHECKPOINT, KINDS, VAE, Folders

MODEL_ENDINGS = (".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf")
_VAE_ENDINGS = (".vae.safetensors", ".vae.ckpt", ".vae.pt")


class Found(NamedTuple):
    """One file, or one folder in diffusers' layout. mtime_ns, size: of a folder, newest and sum of its files."""

    path: Path
    kind: str
    name: str
    size: int
    mtime_ns: int
    folder: bool = False
    problem: str = ""


def scan(folders: Folders) -> list[Found]:
    """The files of every kind, each path once, in the order of the folders and then of the names."""
    found: dict[tuple[str, str], Found] = {}
    for kind in KINDS:
        for root in folders.of_kind(kind):
            for file in sorted(_walk(root, kind), key=lambda file: natural(file.name)):
                found.setdefault((file.kind, str(file.path)), file)
    return list(found.values())


def natural(name: str) -> list[str]:
    """Sorting key that puts 'v9' before 'v10' and does not care about capitals."""
    return [part.zfill(12) if part.isdecimal() else part for part in re.split(r"(\d+)", name.casefold())]


def _walk(root: Path, kind: str) -> Iterator[Found]:
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
            yield _diffusers_folder(Path(folder), kind, relative)
            continue
        for entry in entries:
            name = f"{relative}/{entry.name}" if relative else entry.name
            if _is_folder(entry):
                waiting.append((entry.path, name))
            elif entry.name.lower().endswith(MODEL_ENDINGS) and not entry.name.startswith("._"):
                yield _file(entry, kind, name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _file(entry: os.DirEntry[str], kind: str, name: str) -> Found:
    if kind == CHECKPOINT and entry.name.lower().endswith(_VAE_ENDINGS):
        kind = VAE
    try:
        status = entry.stat()
    except OSError as error:
        why = "the link leads nowhere" if entry.is_symlink() else str(error.strerror or error)
        return Found(Path(entry.path), kind, name, 0, 0, problem=why)
    return Found(Path(entry.path), kind, name, status.st_size, status.st_mtime_ns)


def _diffusers_folder(folder: Path, kind: str, name: str) -> Found:
    # Parts lie at most one folder deep; what lies deeper (a hub's cache) is not the model.
    size, newest = 0, 0
    for path in (*folder.glob("*"), *folder.glob("*/*")):
        try:
            status = path.stat()
        except OSError:
            continue
        if not path.is_dir():
            size, newest = size + status.st_size, max(newest, status.st_mtime_ns)
    return Found(folder, kind, name, size, newest, folder=True)
