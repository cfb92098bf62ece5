"""MappedFile: the bytes of a file as tensors that share its pages, read from the disk when they are asked for.

Knows no format. What is written into a tensor goes to a copy of its page and never reaches the file.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import torch
from torch import Tensor

# Linux 5.14 and later: reads pages into memory and maps them. Python names it from 3.14 on.
_POPULATE_READ = getattr(mmap, "MADV_POPULATE_READ", 22)
_PAGE = mmap.ALLOCATIONGRANULARITY
_PROBES = 256
"""Places at which a file is asked whether it is in memory."""


class MappedFile:
    """start: byte that the places of tensors are counted from. Raises OSError, and ValueError when the file is shorter.

    The pages stay as long as this or one of its tensors does.
    """

    def __init__(self, path: Path, start: int, size: int) -> None:
        self._start = start
        self._reads_ahead = False
        self._map: mmap.mmap | None = None
        self._storage = torch.UntypedStorage(0)
        if size > start:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY)
                self._reads_ahead = hasattr(mmap.mmap, "madvise") and not _in_memory(file.fileno(), size)
            self._storage = torch.frombuffer(self._map, dtype=torch.uint8, offset=start).untyped_storage()

    def tensor(self, begin: int, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
        """The elements in C order from byte `begin` after the start. At an odd place they are copied."""
        tensor = torch.empty(0, dtype=dtype)
        size = torch.Size(shape).numel() * dtype.itemsize
        if not size:
            return tensor.reshape(shape)
        self._read(self._start + begin, size)
        if begin % dtype.itemsize:
            piece = torch.empty(0, dtype=torch.uint8).set_(self._storage, begin, (size,), (1,))
            return piece.clone().view(dtype).reshape(shape)
        return tensor.set_(self._storage, begin // dtype.itemsize, shape, ())

    def flat(self, dtype: torch.dtype) -> Tensor:
        """All whole elements from the start on, [n]; nothing is read."""
        return torch.empty(0, dtype=dtype).set_(self._storage, 0, (self._storage.nbytes() // dtype.itemsize,), (1,))

    def _read(self, begin: int, size: int) -> None:
        """One read in the file's order, where touching page by page would wait for each.

        Not of what is in memory: there it takes twice as long as touching all of it.
        """
        if not self._reads_ahead or self._map is None:
            return
        first = begin - begin % _PAGE
        try:
            self._map.madvise(_POPULATE_READ, first, begin + size - first)
        except OSError:  # an older system; its pages come when they are touched
            self._reads_ahead = False


def _in_memory(file: int, size: int) -> bool:
    """Whether the system has the file's pages at hand, by what it says of some; False where it does not say."""
    page = bytearray(1)
    try:
        for place in range(0, size, -(-size // _PROBES)):
            os.preadv(file, [page], place, os.RWF_NOWAIT)
    except (OSError, AttributeError):  # the first page that is not; another system than Linux
        return False
    return True
