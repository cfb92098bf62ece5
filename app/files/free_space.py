"""Free space: whether the drives have room for what is going to be written, said before anything is."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from app.schema.amounts import size_words
from app.schema.errors import DiskFull


def require_free(wanted: Mapping[Path, int], what: str, hint: str = "Free some space there first.") -> None:
    """wanted: bytes by folder, which need not be there yet; folders of one drive are added up. what: begins the words.

    Raises DiskFull for the first drive that has less.
    """
    drives: dict[int, tuple[Path, int]] = {}
    for folder, size in wanted.items():
        place = existing(folder)
        drive = place.stat().st_dev
        drives[drive] = (place, drives[drive][1] + size) if drive in drives else (place, size)
    for place, size in drives.values():
        free = shutil.disk_usage(place).free
        if free < size:
            raise DiskFull(
                f"{what} needs {size_words(size)} on the drive of {place}, and {size_words(free)} are free.",
                hint=hint,
            )


def existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    whole = folder.absolute()
    return next(path for path in (whole, *whole.parents) if path.exists())


def bytes_within(folder: Path) -> int:
    """What the files below a folder take, 0 where there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
