"""DataFolderLock: one process owns a data folder, and says who it is and where it listens.

The operating system drops the lock with the process, however it ends.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

from app.schema.errors import CannotWrite, DataFolderInUse

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

logger = logging.getLogger(__name__)

LOCK_FILE = "lock.json"
# Windows forbids others to read locked bytes, so the byte that is locked lies far behind the text.
_LOCKED_BYTE = 1 << 30


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
        if not _lock(self._file, patience=0.2):
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
        if _lock(file):
            return None
        found = json.loads(os.read(file, 4096))
        return Holder(int(found["pid"]), str(found["address"]))
    except (OSError, ValueError, KeyError):
        return None
    finally:
        os.close(file)


def _lock(file: int, patience: float = 0.0) -> bool:
    """Takes the lock; False when another process has it.

    patience: seconds to try for, since `read_holder` takes a free lock for an instant.
    """
    give_up = time.monotonic() + patience
    while not (taken := _try_lock(file)) and time.monotonic() < give_up:
        time.sleep(0.02)
    return taken


def _try_lock(file: int) -> bool:
    try:
        if sys.platform == "win32":
            os.lseek(file, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
            os.lseek(file, 0, os.SEEK_SET)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK):
            logger.warning("This file system knows no locks: see to it that only one Easel uses the data folder.")
            return True
        return False
    return True
