"""File lock: one process at a time; the operating system drops the lock with the process, however it ends."""

from __future__ import annotations

import errno
import logging
import os
import sys
import time

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

logger = logging.getLogger(__name__)

# Windows forbids others to read locked bytes, so the byte that is locked lies far behind the text.
_LOCKED_BYTE = 1 << 30


def lock_file(file: int, patience: float = 0.0) -> bool:
    """Takes the lock of an open file (its descriptor); False when another process has it. Closing it lets go.

    patience: seconds to try for, since whoever only looks takes a free lock for an instant.
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
            logger.warning("This file system knows no locks: see to it that one process uses the folder alone.")
            return True
        return False
    return True
