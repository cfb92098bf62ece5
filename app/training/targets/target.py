"""Target: what a training changes: tensors, how they act on the model, the file they become.

Families and data are unknown here: a target sees layers, widths and words.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from torch import Tensor

from app.conditioning import Vocabulary


class Target(Protocol):
    """One thing to be trained, attached to a model from its making until `detach`.

    suffix: of its file. trains_text: text has to be encoded anew at every step, with gradients.
    """

    suffix: str
    trains_text: bool

    def parameters(self) -> Mapping[str, Tensor]:
        """The trainable tensors by name, float32, on the model's device, in a fixed order."""
        ...

    def rates(self) -> Mapping[str, float]:
        """Factors of the learning rate by name, where they are not 1."""
        ...

    def vocabularies(self) -> tuple[Vocabulary, ...]:
        """Words that it teaches while it is trained."""
        ...

    def begin(self, part: int | None) -> None:
        """A part of a step begins: dropout follows from its number. None: nothing is dropped."""
        ...

    def untouched(self) -> AbstractContextManager[None]:
        """Inside, the model answers as it did before; without gradients."""
        ...

    def file_bytes(self) -> int:
        """About how large its file will be."""
        ...

    def export(self, path: Path, metadata: Mapping[str, str]) -> Path:
        """Writes what the parameters are now. Equal parameters and metadata give equal bytes.

        Raises CannotWrite, DiskFull.
        """
        ...

    def detach(self) -> None:
        """The model is again what it was, bit for bit."""
        ...
