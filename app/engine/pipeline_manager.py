"""PipelineManager: the only owner of weights; lends one model for one group of work.

Loads what is absent, evicts the least recently used when the budget is full and never a pinned model. Does not know
who asks or why.
"""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from app.engine.row import ModelChoice
from app.models import is_out_of_memory
from app.schema.errors import OutOfMemory
from app.schema.memory import MemoryTier, ModelInMemory, ModelMemory

if TYPE_CHECKING:
    from app.models import LoadedModel

Load = Callable[[ModelChoice], "LoadedModel"]


class PipelineManager:
    """Keeps models by choice. One thread.

    load: reads a choice from disk onto the device. budget: bytes that all kept models may take; the one in use is
    kept even when it alone is larger.
    """

    def __init__(self, load: Load, *, budget: int) -> None:
        self._load = load
        self._budget = budget
        self._kept: OrderedDict[ModelChoice, LoadedModel] = OrderedDict()
        self._pinned: set[str] = set()

    @property
    def in_use(self) -> ModelChoice | None:
        """The choice used last; it is on the device."""
        return next(reversed(self._kept), None)

    def kept(self, choice: ModelChoice) -> LoadedModel | None:
        """The model of a choice if it is loaded, without touching the order of use."""
        return self._kept.get(choice)

    @contextmanager
    def use(self, choice: ModelChoice) -> Iterator[LoadedModel]:
        """Lends the model of a choice for one group; loads it first when it is absent.

        Raises what the loader raises (BrokenModelFile, ModelChanged, OutOfMemory ...); nothing is kept then.
        """
        model = self._kept.get(choice)
        if model is None:
            self._make_room(choice)
            model = self._loaded(choice)
            self._kept[choice] = model
            self._trim(keep=choice)
        self._kept.move_to_end(choice)
        yield model

    def pin(self, path: str) -> None:
        """The models of a file are never evicted."""
        self._pinned.add(path)

    def unpin(self, path: str) -> None:
        """Takes the pin off; the models go when their turn comes."""
        self._pinned.discard(path)

    def unload(self, path: str | None) -> None:
        """Drops the models of a file, pinned or not; None: all that are not pinned."""
        for choice in list(self._kept):
            if choice.checkpoint.path == path or (path is None and choice.checkpoint.path not in self._pinned):
                del self._kept[choice]
        _give_back()

    def memory(self) -> ModelMemory:
        """The models in memory now."""
        return ModelMemory(
            tuple(
                ModelInMemory(
                    path=choice.checkpoint.path,
                    name=Path(choice.checkpoint.path).name,
                    kind="checkpoint",
                    device_bytes=0,
                    host_bytes=model.bytes(),
                    mapped_bytes=0,
                    pinned=choice.checkpoint.path in self._pinned,
                    in_use=choice == self.in_use,
                    precision=choice.precision,
                )
                for choice, model in reversed(self._kept.items())
            ),
            (MemoryTier("host", "cpu", self.bytes(), self._budget, self._budget),),
        )

    def release(self) -> None:
        """Drops every model that is not pinned and gives the memory back."""
        self.unload(None)

    def bytes(self) -> int:
        """Memory that the kept models take, in bytes."""
        return sum(model.bytes() for model in self._kept.values())

    def _loaded(self, choice: ModelChoice) -> LoadedModel:
        """Loads a choice; where there is no memory for it, once more after everything else has gone."""
        for last in (False, True):
            try:
                return self._load(choice)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if last:
                    raise OutOfMemory(
                        f"The device has not enough memory for {Path(choice.checkpoint.path).name}.",
                        field="checkpoint",
                        hint="Choose a smaller checkpoint or half precision, or close other programs that use the "
                        "device.",
                    ) from error
            self.release()
        raise AssertionError("the second attempt answers or raises")

    def _make_room(self, wanted: ModelChoice) -> None:
        """Before a load: the file's size is the best guess of what it will take."""
        self._evict_until(self._budget - wanted.checkpoint.size, keep=None)

    def _trim(self, keep: ModelChoice) -> None:
        self._evict_until(self._budget, keep=keep)

    def _evict_until(self, budget: int, keep: ModelChoice | None) -> None:
        evicted = False
        for choice in list(self._kept):
            if self.bytes() <= budget:
                break
            if choice != keep and choice.checkpoint.path not in self._pinned:
                del self._kept[choice]
                evicted = True
        if evicted:
            _give_back()


def _give_back() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
