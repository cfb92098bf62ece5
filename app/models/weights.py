"""Weights: tensors by name, mapped from disk rather than read; here those of safetensors files.

Knows formats, not models. Tensors share the file's pages until written to; the file itself is never changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from app.files import Identity, read_header
from app.models.mapped_file import MappedFile
from app.schema.errors import BrokenModelFile

DTYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


class Weights(Protocol):
    """Tensors by name, wherever they lie: in one file, or in several as if they were one.

    path: what the user chose. identity: as it was when opened. shapes, dtypes: by tensor name. metadata: text by
    text. family: name of the family where the layout itself tells it, else "".
    """

    path: Path
    identity: Identity
    metadata: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, torch.dtype]
    family: str

    def tensor(self, name: str) -> Tensor:
        """The tensor, sharing the file's pages. Raises KeyError for a name that is not there."""
        ...

    def position(self, name: str) -> tuple[int, int]:
        """Number of the file and byte at which a tensor begins; reading in this order is sequential."""
        ...

    def close(self) -> None:
        """Let go of the file until a tensor is asked for again; tensors that share its pages stay as they are."""
        ...


class WeightFile:
    """One open safetensors file, as `Weights`. Raises as `read_header` does."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.header = read_header(self.path)
        self.identity = Identity.of(self.path)
        self.metadata: Mapping[str, str] = self.header.metadata
        self.family = ""
        places = self.header.tensors
        self.shapes: Mapping[str, tuple[int, ...]] = {name: place.shape for name, place in places.items()}
        self.dtypes: Mapping[str, torch.dtype] = {
            name: known_dtype(self.path, name, place.dtype) for name, place in places.items()
        }
        self._mapped: MappedFile | None = None

    def tensor(self, name: str) -> Tensor:
        """As in `Weights`. Raises BrokenModelFile when the file has changed its size or cannot be mapped."""
        place = self.header.tensors[name]
        return self._pages().tensor(place.begin - self.header.data_start, self.dtypes[name], place.shape)

    def flat(self, dtype: torch.dtype) -> Tensor:
        """[n]: all that comes after the header as if it were of one type. Nothing is read; raises as `tensor` does."""
        return self._pages().flat(dtype)

    def close(self) -> None:
        """As in `Weights`."""
        self._mapped = None

    def _pages(self) -> MappedFile:
        if self._mapped is None:
            try:
                if self.path.stat().st_size != self.header.size:
                    raise BrokenModelFile(f"{self.path.name} was changed while it was read.", hint="Load it again.")
                self._mapped = MappedFile(self.path, self.header.data_start, self.header.size)
            except (OSError, ValueError) as error:
                raise BrokenModelFile(f"{self.path.name} cannot be read: {error}.") from error
        return self._mapped

    def position(self, name: str) -> tuple[int, int]:
        """As in `Weights`."""
        return 0, self.header.tensors[name].begin


def known_dtype(path: Path, name: str, word: str) -> torch.dtype:
    """The type that a file's word means. Raises BrokenModelFile for one that is not read."""
    if word not in DTYPES:
        raise BrokenModelFile(f"{path.name}: tensor {name} is of type {word}, which is not read.")
    return DTYPES[word]


def bytes_below(file: Weights, *prefixes: str) -> int:
    """Bytes of all tensors whose names begin with one of the prefixes."""
    names = [name for name in file.shapes if name.startswith(prefixes)]
    return sum(torch.Size(file.shapes[name]).numel() * file.dtypes[name].itemsize for name in names)
