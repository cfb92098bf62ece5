"""Loader: what PipelineManager asks of whoever reads models from disk, and how a load is counted.

Says nothing of how it is read (`app.engine.loading` does) or of what stays in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch

from app.engine.kept import Key
from app.engine.row import ModelChoice

if TYPE_CHECKING:
    from app.models import LoadedModel, Survey, Vae

Tell = Callable[[str, int, int], None]
"""Called during a load with the part's name, bytes done and bytes in all."""


class Needs(NamedTuple):
    """What the two things of a choice will take."""

    checkpoint: Survey
    vae: Survey

    def of(self, key: Key) -> Survey:
        """Of one of the two."""
        return self.vae if key.kind == "vae" else self.checkpoint


class Loader(Protocol):
    """Reads from disk. unet, vae: a precision to use instead of the one asked for; into: something to write over."""

    def survey(self, choice: ModelChoice, *, unet: torch.dtype | None, vae: torch.dtype | None) -> Needs:
        """From the files' headers. Raises ModelNotFound, ModelChanged, UnsupportedModel and the like."""
        ...

    def vae(
        self, choice: ModelChoice, device: torch.device, dtype: torch.dtype | None, into: Vae | None, tell: Tell | None
    ) -> Vae:
        """The VAE that a choice names, or the one in its checkpoint."""
        ...

    def checkpoint(
        self,
        choice: ModelChoice,
        device: torch.device,
        dtype: torch.dtype | None,
        into: LoadedModel | None,
        tell: Tell | None,
        vae: Vae,
    ) -> LoadedModel:
        """U-Net and text encoders."""
        ...

    def join(self, model: LoadedModel, vae: Vae, choice: ModelChoice) -> None:
        """The model gets this VAE. Raises UnsupportedModel when it does not fit."""
        ...


def spanning(tell: Tell | None, needs: Needs, missing: Sequence[Key]) -> dict[Key, Tell | None]:
    """One count over all that is loaded for a choice, in this order."""
    sizes = [needs.of(key).stored for key in missing]

    def shifted(tell: Tell, before: int) -> Tell:
        return lambda part, done, _: tell(part, min(before + done, sum(sizes)), sum(sizes))

    before = list(accumulate(sizes, initial=0))
    return {key: None if tell is None else shifted(tell, start) for key, start in zip(missing, before, strict=False)}
