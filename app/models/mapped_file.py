"""MappedFile: the bytes of a file as tensors that share its pages, read from the disk when they are asked for.

Knows no format. What is written into a tensor goes to a copy of its page and never reaches the file.
"""

from __future__ import annotations

import mmap
from pathlib import Path

import torch
from torch import Tensor

# Linux 5.14 and later: reads pages into memory and maps them. Python names it from 3.14 on.
_POPULATE_READ = getattr(mmap, "MADV_POPULATE_READ", 22)
_PAGE = mmap.ALLOCATIONGRANULARITY


class MappedFile:
    """start: byte that the places of tensors are counted from. Raises OSError, and ValueError when the file is shorter.

    The pages stay as long as this or one of its tensors does.
    """

    def __init__(self, path: Path, start: int, size: int) -> None:
        self._start = start
        self._reads_ahead = hasattr(mmap.mmap, "madvise")
        self._map: mmap.mmap | None = None
        self._storage = torch.UntypedStorage(0)
        if size > start:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY)
            self._storage = torch.frombuffer(self._map, dtype=torch.uint8, offset=start).untyped_storage()

    def tensor(self, begin: int, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
        """The elements in C order from byte `begin` after the start. At an odd place they are copied."""
        tensor = torch.empty(0, dtype=dtype)
        count = torch.Size(shape).numel()
        size = count * dtype.itemsize
        if not size:
            return tensor.reshape(shape)
        self._read(self._start + begin, size)
        if begin % dtype.itemsize:
            piece = torch.empty(0, dtype=torch.uint8).set_(self._storage, begin, (size,), (1,))
            return piece.clone().view(dtype).reshape(shape)
        return tensor.set_(self._storage, begin // dtype.itemsize, (count,), (1,)).view(shape)

    def _read(self, begin: int, size: int) -> None:
        """One read in the file's order, where touching page by page would wait for each."""
        if not self._reads_ahead or self._map is None:
            return
        first = begin - begin % _PAGE
        try:
            self._map.madvise(_POPULATE_READ, first, begin + size - first)
        except OSError:  # an older system; its pages come when they are touched
            self._reads_ahead = False
