"""Inflight: notes what the engine is about to run, so that a death of the process finds its cause.

A small file, overwritten in place without waiting for the disk: it must outlive the process, not the power.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_HEADER = struct.Struct("<II")
_LONGEST = 1 << 20
_COUNTERS = (Path("/sys/fs/cgroup/memory.events"), Path("/proc/vmstat"))


def memory_kills() -> int:
    """How many processes Linux has ended for want of memory, in this container or since the start; 0 elsewhere."""
    for file in _COUNTERS:
        with suppress(OSError, ValueError):
            counts = dict(line.split() for line in file.read_text().splitlines())
            if "oom_kill" in counts:
                return int(counts["oom_kill"])
    return 0


class LeftOver(NamedTuple):
    """What ran when the last process died.

    rows: (job, image, effects done) of each. loading: the model was being loaded for them. out_of_memory: the
    operating system has ended some process for want of memory since.
    """

    rows: list[tuple[str, int, int]]
    loading: bool = False
    out_of_memory: bool = False


class Inflight:
    """The marker of one data folder; owned by the engine's thread once `left_over` has been read."""

    def __init__(self, path: Path, memory_kills: Callable[[], int] = memory_kills) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
        self._file = os.open(path, flags, 0o600)
        self._kills_before = memory_kills()
        self._empty = False

    def left_over(self) -> LeftOver:
        """The marker of the last process; without rows after an orderly end.

        A marker cut short in the very moment of the death counts as none.
        """
        os.lseek(self._file, 0, os.SEEK_SET)
        data = os.read(self._file, _LONGEST)
        if len(data) < _HEADER.size:
            return LeftOver([])
        length, checksum = _HEADER.unpack_from(data)
        body = data[_HEADER.size : _HEADER.size + length]
        if length == 0 or len(body) < length or zlib.crc32(body) != checksum:
            return LeftOver([])
        rows, loading, kills = json.loads(body)
        return LeftOver([(job, image, done) for job, image, done in rows], loading, self._kills_before > kills)

    def before_group(self, rows: list[tuple[str, int, int]], loading: bool = False) -> None:
        """Notes (job, image, effects done) of the rows that run next. loading: their model must be loaded first."""
        body = json.dumps([rows, loading, self._kills_before], separators=(",", ":")).encode()
        self._write(_HEADER.pack(len(body), zlib.crc32(body)) + body)
        self._empty = False

    def clear(self) -> None:
        """Notes that nothing runs."""
        if not self._empty:
            self._write(_HEADER.pack(0, 0))
            self._empty = True

    def close(self) -> None:
        """Clears the marker and closes its file; a second call does nothing."""
        if self._file >= 0:
            self.clear()
            os.close(self._file)
            self._file = -1

    def _write(self, data: bytes) -> None:
        os.lseek(self._file, 0, os.SEEK_SET)
        os.write(self._file, data)
