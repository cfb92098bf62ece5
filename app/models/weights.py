"""WeightFile: the tensors of a model file by name, mapped from disk rather than read.

Knows formats, not models. Tensors share the file's pages until written to; the file itself is never changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from app.files.headers import read_header
from app.files.model_file import Identity
from app.schema.errors import BrokenModelFile

DTYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


class WeightFile:
    """One open model file.

    identity: the file as it was when opened. shapes, dtypes: by tensor name. metadata: text by text.
    Raises ModelNotFound, BrokenModelFile or UnsafeModelFile as `read_header` does.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.header = read_header(self.path)
        self.identity = Identity.of(self.path)
        self.metadata: Mapping[str, str] = self.header.metadata
        self.shapes: Mapping[str, tuple[int, ...]] = {name: t.shape for name, t in self.header.tensors.items()}
        self.dtypes: Mapping[str, torch.dtype] = {}
        for name, place in self.header.tensors.items():
            if place.dtype not in DTYPES:
                raise BrokenModelFile(f"{self.path.name}: tensor {name} is of type {place.dtype}, which is not read.")
            self.dtypes[name] = DTYPES[place.dtype]
        try:
            self._tensors = safe_open(str(self.path), framework="pt", device="cpu")
        except (SafetensorError, OSError) as error:
            raise BrokenModelFile(f"{self.path.name} cannot be read: {error}.") from error

    def tensor(self, name: str) -> Tensor:
        """The tensor, sharing the file's pages. Raises KeyError for a name that is not there."""
        if name not in self.shapes:
            raise KeyError(name)
        tensor: Tensor = self._tensors.get_tensor(name)
        return tensor

    def bytes_below(self, *prefixes: str) -> int:
        """Bytes of all tensors whose names begin with one of the prefixes."""
        places = self.header.tensors.items()
        return sum(place.end - place.begin for name, place in places if name.startswith(prefixes))

    def position(self, name: str) -> int:
        """Byte at which a tensor begins; reading in this order is one sequential read."""
        return self.header.tensors[name].begin
