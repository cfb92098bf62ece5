"""DataFolderLock: one process owns a data folder, and says who it is and where it listens.

The operating system drops the lock with the process, however it ends.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

from app.files.file_lock import lock_file
from app.schema.errors import CannotWrite, DataFolderInUse

LOCK_FILE = "lock.json"


class Holder(NamedTuple):
    """Who holds a data folder. address: of the server's page, "" while there is none."""

    pid: int
    address: str


class DataFolderLock:
    """Held from construction to `release`. Raises DataFolderInUse when another process holds it."""

    def __init__(self, state_folder: Path) -> None:
        self.path = state_folder / LOCK_FILE
        try:
            state_folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise CannotWrite(
                f"The lock file {self.path} cannot be written: {error.strerror}.",
                hint="Check the folder's permissions, or choose another with --data-dir.",
            ) from error
        if not lock_file(self._file, patience=0.2):
            os.close(self._file)
            holder = read_holder(state_folder)
            where = f" at {holder.address}" if holder and holder.address else ""
            who = f" (process {holder.pid}{where})" if holder else ""
            raise DataFolderInUse(
                f"Another Easel{who} works with the data folder {state_folder.parent}.",
                hint="Use that one, stop it first, or start this one with another --data-dir.",
            )
        self.tell_address("")

    def tell_address(self, address: str) -> None:
        """Writes the address of this process's server where the command line finds it."""
        text = json.dumps({"pid": os.getpid(), "address": address}).encode()
        os.lseek(self._file, 0, os.SEEK_SET)
        os.write(self._file, text)
        os.ftruncate(self._file, len(text))

    def release(self) -> None:
        """Lets the folder go."""
        os.ftruncate(self._file, 0)
        os.close(self._file)


def read_holder(state_folder: Path) -> Holder | None:
    """Who holds the data folder, None when nobody does."""
    path = state_folder / LOCK_FILE
    try:
        file = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        if lock_file(file):
            return None
        found = json.loads(os.read(file, 4096))
        return Holder(int(found["pid"]), str(found["address"]))
    except (OSError, ValueError, KeyError):
        return None
    finally:
        os.close(file)
