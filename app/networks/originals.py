"""Originals: a model's own weights while networks are on it, and the way back to them, bit for bit.

The checkpoint's file serves as the copy wherever it is the one that was loaded; else a copy is kept in host memory.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from app.files import Identity
from app.models.checkpoint_file import open_checkpoint
from app.models.fill import take
from app.models.keys import Source, names_of, text_sources, unet_sources
from app.models.model import LoadedModel
from app.models.weights import Weights
from app.schema.errors import EaselError

_LOOKED_AT = 1024


class Originals:
    """Of one model. Holds its parameters, not the model itself."""

    def __init__(self, model: LoadedModel) -> None:
        self._weights: dict[str, nn.Parameter] = dict(model.weights())
        self._file = _file_of(model)
        self._sources = _sources_of(model, self._file) if self._file is not None else {}
        self._kept: dict[str, Tensor] = {}
        # Paths whose weights were looked at: they are what the file says, or have no source any more.
        self._seen: set[str] = set()
        self._changed: set[str] = set()
        # Of these: written over in place, and in memory of their own beside the file's page.
        self._touched: set[str] = set()
        self._own: set[str] = set()

    @property
    def changed(self) -> frozenset[str]:
        """Paths of the weights that are not the model's own now."""
        return frozenset(self._changed)

    def kept_bytes(self) -> int:
        """Memory that copies take, in bytes; 0 where the file serves."""
        return sum(copy.nbytes for copy in self._kept.values())

    def change(self, path: str, apply: Callable[[Tensor], Tensor]) -> None:
        """Sets a weight to what `apply` makes of the original, given as float32 on the model's device."""
        weight = self._weights[path]
        if path not in self._changed:
            self._keep(path, weight)
        self._changed.add(path)
        view = self._shared(path, weight)
        if view is not None:
            # The weight is the file's own page: that stays as it is, and the changed one gets memory of its own, once.
            room = weight.data if path in self._own else torch.empty_like(view)
            work = room if room.dtype == torch.float32 else torch.empty_like(view, dtype=torch.float32)
            room.copy_(apply(work.copy_(view)))
            weight.data = room
            self._own.add(path)
            return
        if path in self._touched or path in self._own:
            weight.data.copy_(self._original(path))
        self._touched.add(path)
        if weight.dtype == torch.float32:
            changed = apply(weight.data)
            if changed is not weight.data:
                weight.data.copy_(changed)
        else:
            weight.data.copy_(apply(weight.data.float()))

    def restore(self, path: str) -> None:
        """Puts the original back."""
        if path not in self._changed:
            return
        weight = self._weights[path]
        view = self._shared(path, weight)
        if view is not None:
            weight.data = view
        elif path in self._touched or path in self._own:
            weight.data.copy_(self._original(path))
        self._changed.discard(path)
        self._touched.discard(path)
        self._own.discard(path)
        self._kept.pop(path, None)

    def _keep(self, path: str, weight: nn.Parameter) -> None:
        if path in self._sources and path not in self._seen:
            if not self._is_from_file(path, weight):
                del self._sources[path]
            self._seen.add(path)
        if path not in self._sources and path not in self._kept:
            self._kept[path] = weight.data.to("cpu", copy=True)

    def _original(self, path: str) -> Tensor:
        return self._kept[path] if path in self._kept else self._from_file(path)

    def _from_file(self, path: str) -> Tensor:
        assert self._file is not None
        return take(self._file, self._sources[path]).reshape(self._weights[path].shape)

    def _is_from_file(self, path: str, weight: nn.Parameter) -> bool:
        """Whether the file says what the weight holds, by its first numbers: a loader may have changed others."""
        few = slice(0, _LOOKED_AT)
        theirs = self._from_file(path).flatten()[few].to(weight.device).to(weight.dtype)
        return torch.equal(weight.data.flatten()[few], theirs)

    def _shared(self, path: str, weight: nn.Parameter) -> Tensor | None:
        """The file's pages in the weight's shape, where a weight on the CPU in the file's own type is just these."""
        source = self._sources.get(path)
        if source is None or self._file is None or weight.device.type != "cpu":
            return None
        if self._file.dtypes[source.key] != weight.dtype:
            return None
        tensor = self._from_file(path)
        return tensor if tensor.dtype == weight.dtype and tensor.is_contiguous() else None


def _file_of(model: LoadedModel) -> Weights | None:
    """The checkpoint, opened a second time, if it is still the file that was loaded."""
    if model.file is None:
        return None
    try:
        file = open_checkpoint(model.file.path)
        return file if file.identity == model.file == Identity.of(model.file.path) else None
    except (EaselError, OSError):
        return None


def _sources_of(model: LoadedModel, file: Weights) -> dict[str, Source]:
    """Source of every weight by path, as the loader found them."""
    unet = unet_sources(names_of(model.unet), model.family.unet_prefix)
    sources = {f"unet.{name}": source for name, source in unet.items()}
    for number, encoder in enumerate(model.text_encoders):
        names = [name for name, _ in encoder.named_parameters()]
        for name, source in text_sources(names, encoder.facts, file.shapes).items():
            sources[f"text_encoders.{number}.{name}"] = source
    # A text encoder may come from another file: its weights are copied.
    return {path: source for path, source in sources.items() if source.key in file.shapes}
