"""Inflight: writes down what the engine is about to run, so that a death of the process finds its cause.

A small file, overwritten in place without waiting for the disk: it must outlive the process, not the power.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from pathlib import Path

_HEADER = struct.Struct("<II")
_LONGEST = 1 << 20


class Inflight:
    """The marker of one data folder; owned by the engine's thread once `left_over` has been read."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
        self._file = os.open(path, flags, 0o600)
        self._empty = False

    def left_over(self) -> list[tuple[str, int, int]]:
        """(job, image, effects done) of the rows that ran when the last process died, [] after an orderly end.

        A marker cut short in the very moment of the death counts as none.
        """
        os.lseek(self._file, 0, os.SEEK_SET)
        data = os.read(self._file, _LONGEST)
        if len(data) < _HEADER.size:
            return []
        length, checksum = _HEADER.unpack_from(data)
        body = data[_HEADER.size : _HEADER.size + length]
        if length == 0 or len(body) < length or zlib.crc32(body) != checksum:
            return []
        return [(job, image, done) for job, image, done in json.loads(body)]

    def before_group(self, rows: list[tuple[str, int, int]]) -> None:
        """Notes (job, image, effects done) of the rows that run next."""
        body = json.dumps(rows, separators=(",", ":")).encode()
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
