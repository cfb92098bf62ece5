"""Weights: every tensor of a model file as bytes, piece by piece, whatever the format.

Holds one open file and no weights. Knows no torch, and neither what the tensors mean nor where they go.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, NamedTuple, Self

import numpy
from numpy.typing import NDArray

from app.files.contents import Content, tell_content
from app.files.headers import DTYPE_BITS, read_header
from app.files.number_formats import raw_type
from app.files.pickle_values import PickledTensor
from app.files.pickles import read_pickle
from app.files.refused import Refused, RefusedAsUnsupported, naming

_PIECE = 1 << 24


class Stored(NamedTuple):
    """One tensor. dtype: safetensors' word. begin: byte of its first element. strides: None for C order, else elements.

    size: bytes that it fills once its elements follow one another.
    """

    dtype: str
    shape: tuple[int, ...]
    begin: int
    strides: tuple[int, ...] | None

    @property
    def size(self) -> int:
        """See the class."""
        return math.prod(self.shape) * DTYPE_BITS[self.dtype] // 8


class Weights:
    """An open model file: .safetensors, .ckpt, .pt or .bin, told by its content.

    tensors: by name, in the file's order. metadata: text by text. left_out: what of a pickle is no weight of the model
    (optimizer states, callbacks ...), by the tree's first level. Raises what `read_header` and `read_pickle` raise.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with naming(self.path):
            self.content = tell_content(self.path)
            if self.content is Content.DIFFUSERS:
                raise RefusedAsUnsupported("it is a folder in diffusers' layout, whose parts are files of their own")
        self.left_out: tuple[str, ...] = ()
        if self.content is Content.SAFETENSORS:
            header = read_header(self.path)
            self.metadata: Mapping[str, str] = header.metadata
            places = {
                name: Stored(place.dtype, place.shape, place.begin, None) for name, place in header.tensors.items()
            }
        else:
            pickled = read_pickle(self.path)
            starts = pickled.storage_starts()
            self.metadata = pickled.metadata
            places = {name: _stored(tensor, starts[tensor.storage]) for name, tensor in pickled.tensors.items()}
            if isinstance(pickled.tree, dict) and isinstance(pickled.tree.get("state_dict"), dict):
                self.left_out = tuple(
                    str(key) for key in pickled.tree if key != "state_dict" and str(key) not in pickled.metadata
                )
        self.tensors: Mapping[str, Stored] = MappingProxyType(places)
        with naming(self.path):
            self._file = self.path.open("rb", buffering=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def pieces(self, name: str) -> Iterator[NDArray[Any]]:
        """A tensor's elements in C order: flat arrays of unsigned integers, each of at most 16 MiB, read when taken.

        A tensor that is transposed or cut out of another comes in one piece. Raises BrokenModelFile when the file ends
        before it.
        """
        stored = self.tensors[name]
        with naming(self.path):
            if stored.strides is not None:
                yield self._gathered(stored)
                return
            position, end = stored.begin, stored.begin + stored.size
            while position < end:
                piece = self._read(position, min(_PIECE, end - position))
                position += len(piece)
                yield piece.view(raw_type(stored.dtype))

    def _gathered(self, stored: Stored) -> NDArray[Any]:
        assert stored.strides is not None
        kind = raw_type(stored.dtype)
        last = sum((size - 1) * stride for size, stride in zip(stored.shape, stored.strides, strict=True))
        elements = self._read(stored.begin, (last + 1) * kind.itemsize).view(kind)
        strides = [stride * kind.itemsize for stride in stored.strides]
        view = numpy.lib.stride_tricks.as_strided(elements, stored.shape, strides, writeable=False)
        return numpy.ascontiguousarray(view).reshape(-1)

    def _read(self, position: int, size: int) -> NDArray[numpy.uint8]:
        buffer = numpy.empty(size, numpy.uint8)
        view, filled = buffer.data, 0
        self._file.seek(position)
        while filled < size:
            count = self._file.readinto(view[filled:])
            if not count:
                raise Refused("it became shorter while it was read")
            filled += count
        return buffer


def _stored(tensor: PickledTensor, start: int) -> Stored:
    strides = None if tensor.contiguous else tensor.stride
    return Stored(tensor.dtype, tensor.shape, start + tensor.begin, strides)
