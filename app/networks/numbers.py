"""Numbers: the tensors of a network's file, quickly: thousands of small ones, each a view of one mapping.

Knows where tensors lie, not what they are for. Shares the file's pages; reads nothing before it is used.
"""

from __future__ import annotations

import math
import struct

import torch
from torch import Tensor

from app.models.weights import WeightFile, Weights

_CPU = torch.device("cpu")
_MOST_SCRATCH = 1 << 24
_ALIGNED = 16
"""In numbers: matrices begin where vector instructions like them to."""
_UNPACKED = {torch.float32: "<f", torch.float16: "<e", torch.float64: "<d"}


class Numbers:
    """Of one open file. Where it is no safetensors file, or oddly laid out, its own reader answers."""

    def __init__(self, file: Weights) -> None:
        """Raises BrokenModelFile for a file that cannot be mapped."""
        self._file = file
        self._mapped = file if isinstance(file, WeightFile) else None
        self._start = self._mapped.header.data_start if self._mapped is not None else 0
        self._flat: dict[torch.dtype, Tensor] = {}
        # Single numbers are read from here: to make a tensor of each costs more than the reading.
        self._bytes = self._mapped.flat(torch.uint8).numpy().data if self._mapped is not None else memoryview(b"")

    def tensor(self, key: str, device: torch.device) -> Tensor:
        """The tensor in the file's own type. Raises KeyError for a name that is not there."""
        begin, dtype = self._begin(key), self._file.dtypes[key]
        if begin is None or self._mapped is None or begin % dtype.itemsize:
            return self._file.tensor(key).to(device)
        flat = self._flat.get(dtype)
        if flat is None:
            flat = self._flat[dtype] = self._mapped.flat(dtype)
        shape = self._file.shapes[key]
        strides = (shape[1], 1) if len(shape) == 2 else _strides(shape)
        found = flat.as_strided(shape, strides, begin // dtype.itemsize)
        return found if device.type == "cpu" else found.to(device)

    def number(self, key: str) -> float | None:
        """A tensor of one number; None for one of more, and for what is not finite."""
        if math.prod(self._file.shapes[key]) != 1:
            return None
        begin, form = self._begin(key), _UNPACKED.get(self._file.dtypes[key])
        if begin is not None and form is not None:
            (number,) = struct.unpack_from(form, self._bytes, begin)
        else:
            number = float(self.tensor(key, _CPU))
        return number if math.isfinite(number) else None

    def _begin(self, key: str) -> int | None:
        """Byte after the header; None where the file's own reader knows."""
        return self._mapped.header.tensors[key].begin - self._start if self._mapped is not None else None


class Scratch:
    """Memory for matrices that are wanted in float32 for a moment, used again for the next: on a CPU fresh pages cost
    more than the conversion. One owner, one thread; grows to the most that was wanted at a time, up to 64 megabytes."""

    def __init__(self) -> None:
        self._memory = torch.empty(0)
        self._used = self._wanted = 0

    def begin(self) -> None:
        """What was made so far is not needed any more."""
        if self._wanted > self._memory.numel():
            self._memory = torch.empty(min(self._wanted, _MOST_SCRATCH))
        self._used = self._wanted = 0

    def float32(self, tensor: Tensor) -> Tensor:
        """The tensor in float32, valid until `begin`."""
        if tensor.dtype == torch.float32 or tensor.device.type != "cpu":
            return tensor.float()
        begin, count = self._used, tensor.numel()
        self._wanted += -(-count // _ALIGNED) * _ALIGNED
        if begin + count > self._memory.numel():
            return tensor.float()
        self._used = begin + -(-count // _ALIGNED) * _ALIGNED
        shape = tensor.shape
        strides = (shape[1], 1) if len(shape) == 2 else _strides(tuple(shape))
        return self._memory.as_strided(shape, strides, begin).copy_(tensor)


def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of a contiguous tensor."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
