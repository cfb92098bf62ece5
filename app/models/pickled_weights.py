"""PickledWeights: the tensors of a .ckpt, .pt or .bin file, mapped from disk; nothing in the pickle is run.

What the pickle says is read by `app.files`; here its storages become tensors that share the file's pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from app.files import Identity, read_pickle
from app.models.weights import known_dtype
from app.schema.errors import BrokenModelFile


class PickledWeights:
    """One pickled file, as `Weights`: the tensors of its 'state_dict', or of the whole. Raises as `read_pickle` does.

    skipped: names of the classes in it that were not rebuilt (a trainer's callbacks and the like).
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file = read_pickle(self.path)
        self.identity = Identity.of(self.path)
        self.metadata: Mapping[str, str] = self._file.metadata
        self.skipped = self._file.skipped
        self.family = ""
        tensors = self._file.tensors
        self.shapes: Mapping[str, tuple[int, ...]] = {name: tensor.shape for name, tensor in tensors.items()}
        self.dtypes: Mapping[str, torch.dtype] = {
            name: known_dtype(self.path, name, tensor.dtype) for name, tensor in tensors.items()
        }
        self._starts = self._file.storage_starts()
        self._bytes: np.ndarray[Any, Any] | None = None

    def tensor(self, name: str) -> Tensor:
        """As in `Weights`. Raises BrokenModelFile when the file has become shorter."""
        place, dtype = self._file.tensors[name], self.dtypes[name]
        _, begin = self.position(name)
        if self._bytes is None:
            # Copy on write: what is written into a tensor never reaches the file.
            self._bytes = np.memmap(self.path, dtype=np.uint8, mode="c")
        part = self._bytes[begin : begin + place.span]
        if part.size != place.span:
            raise BrokenModelFile(f"{self.path.name} ends before its tensor {name}.", hint="Copy it again.")
        raw = torch.from_numpy(part)
        if raw.data_ptr() % dtype.itemsize:
            raw = raw.clone()  # the format before PyTorch 1.6 puts numbers at odd addresses
        return raw.view(dtype).as_strided(place.shape, place.stride)

    def position(self, name: str) -> tuple[int, int]:
        """As in `Weights`."""
        place = self._file.tensors[name]
        return 0, self._starts[place.storage] + place.begin

    def close(self) -> None:
        """As in `Weights`."""
        self._bytes = None
