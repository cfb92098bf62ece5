"""The three kinds of network that a prompt can switch on: Patch, Hook and Vocabulary.

Protocols only. Everything else that wants to change sampling is a guide or a stage, not a network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from torch import Tensor

from app.models.model import LoadedModel, TokenVectors


class Network(Protocol):
    """What every network tells about itself.

    name: as in the prompt tag. kind: 'lora', 'hypernet', 'embedding' or an extension's word. family: name of the
    family it was made for, "" when the file does not say. fingerprint: changes whenever the file does.
    report: '264 of 264 keys used' and the names that were not.
    """

    name: str
    kind: str
    family: str
    fingerprint: str
    report: str


class Patch(Network, Protocol):
    """A network that changes weights (LoRA, LyCORIS); applied to kept originals, never undone by subtraction."""

    def targets(self, model: LoadedModel) -> Iterable[str]:
        """Paths of the weights it changes, as `LoadedModel.weights()` names them."""
        ...

    def changed(self, path: str, weight: Tensor, strength: float) -> Tensor:
        """The new weight for a path. weight: as left by the networks before, float32; answer: same shape, float32."""
        ...


class Hook(Network, Protocol):
    """A network that acts while the model runs (hypernetwork)."""

    def attach(self, model: LoadedModel, strength: float) -> Callable[[], None]:
        """Hook into the model and return what undoes it exactly."""
        ...


class Vocabulary(Network, Protocol):
    """A network that teaches new words (textual inversion)."""

    def tokens(self, ids: Sequence[int]) -> TokenVectors | None:
        """The vectors for a word that begins at ids[0], the longest match first; None when no word of it does."""
        ...
