"""Whole files: written aside, flushed to the disk, then renamed, so that no half file has a final name.

Knows bytes and names only. What goes wrong is told in words: no room, or not allowed.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from app.schema.errors import CannotWrite, DiskFull

ASIDE = ".tmp"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_whole(path: Path, data: bytes) -> None:
    """Make the file whole under its name, in place of what stood there; its folder is made too.

    Returns once the bytes are on the disk. Raises DiskFull or CannotWrite, and then leaves nothing behind.
    """
    aside = aside_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        flush_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
        raise cannot_write(path, error) from error


def aside_of(path: Path) -> Path:
    """The name under which a file is written until it is whole."""
    return path.with_name(path.name + ASIDE)


def cannot_write(path: Path, error: OSError) -> DiskFull | CannotWrite:
    """The error to raise when writing a file failed, in words that name it."""
    if error.errno in _NO_ROOM:
        return DiskFull(
            f"The disk has no room left for {path.name}.", hint=f"Free some space on the drive of {path.parent}."
        )
    return CannotWrite(
        f"{path} cannot be written: {error.strerror or error}.", hint="Check the folder and its permissions."
    )


def flush_folder(folder: Path) -> None:
    """Bring the new name to the disk as well; Windows and some network drives cannot, and do it on their own."""
    if os.name == "nt":
        return
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
