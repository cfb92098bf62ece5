"""NamedWeights: tensors of one or several files under other names, so that every layout reads like the original.

Holds a table of names; what the names mean is decided by whoever makes the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from app.files import Identity
from app.models.weights import Weights


class NamedWeights:
    """A renamed view, as `Weights`. places: new name -> the file and the name of the tensor in it."""

    def __init__(
        self,
        path: Path,
        identity: Identity,
        metadata: Mapping[str, str],
        places: Mapping[str, tuple[Weights, str]],
        family: str = "",
    ) -> None:
        self.path = path
        self.identity = identity
        self.metadata = metadata
        self.family = family
        self.shapes: Mapping[str, tuple[int, ...]] = {new: file.shapes[old] for new, (file, old) in places.items()}
        self.dtypes: Mapping[str, torch.dtype] = {new: file.dtypes[old] for new, (file, old) in places.items()}
        self._places = places
        self._files = tuple({id(file): file for file, _ in places.values()}.values())
        self._numbers = {id(file): number for number, file in enumerate(self._files)}

    def tensor(self, name: str) -> Tensor:
        """As in `Weights`."""
        file, old = self._places[name]
        return file.tensor(old)

    def position(self, name: str) -> tuple[int, int]:
        """As in `Weights`."""
        file, old = self._places[name]
        return self._numbers[id(file)], file.position(old)[1]

    def close(self) -> None:
        """As in `Weights`."""
        for file in self._files:
            file.close()


def renamed(file: Weights, names: Mapping[str, str], family: str = "") -> NamedWeights:
    """A view of one file. names: new name -> name in the file."""
    places = {new: (file, old) for new, old in names.items()}
    return NamedWeights(file.path, file.identity, file.metadata, places, family)
