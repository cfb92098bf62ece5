"""The three kinds of network that a prompt can switch on: Patch, Hook and Vocabulary.

Protocols and plain values only. Everything else that wants to change sampling is a guide or a stage, not a network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from torch import Tensor

from app.models.model import LoadedModel, TokenVectors


class Report(NamedTuple):
    """How well a network's file fits a model: matched of total layers, and the names of those that do not.

    type: 'LoRA', 'LoCon', 'LoHa' ... rank: the largest, None where the type has none. parts: what is counted.
    """

    name: str
    type: str
    rank: int | None
    matched: int
    total: int
    unmatched: tuple[str, ...] = ()
    parts: str = "layers"

    def __str__(self) -> str:
        text = f"{self.name}: {self.type}, {self.matched} of {self.total} {self.parts} used"
        if self.unmatched:
            more = len(self.unmatched) - 3
            text += f"; not used: {', '.join(self.unmatched[:3])}" + (f" and {more} more" if more > 0 else "")
        return text


class Wanted(NamedTuple):
    """One network as a request asks for it. path, size, mtime_ns: which file.

    kind: 'lora', 'hypernet' or 'embedding'. text, unet: factors of its effect on each. rank: of the change at most.
    """

    kind: str
    name: str
    path: str
    size: int
    mtime_ns: int
    text: float = 1.0
    unet: float = 1.0
    rank: int | None = None


class Network(Protocol):
    """What every network tells about itself.

    name: as in the prompt tag. kind: 'lora', 'hypernet', 'embedding' or an extension's word. family: name of the
    family it was made for, "" when the file does not say. fingerprint: changes whenever the file does.
    """

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def family(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...

    def report(self, model: LoadedModel) -> Report:
        """How well it fits a model; reads no weights."""
        ...


class Patch(Network, Protocol):
    """A network that changes weights (LoRA, LyCORIS); applied to kept originals, never undone by subtraction."""

    def targets(self, model: LoadedModel) -> Iterable[str]:
        """Paths of the weights it changes, as `LoadedModel.weights()` names them."""
        ...

    def changed(
        self, model: LoadedModel, path: str, weight: Tensor, strength: float, rank: int | None = None
    ) -> Tensor:
        """The new weight for a path.

        weight: as left by the networks before, float32, on the model's device; it may be written over. rank: of the
        change at most. Answer: same shape, float32.
        """
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
