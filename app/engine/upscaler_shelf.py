"""UpscalerShelf: the only owner of upscaling networks; the few used last stay on the device."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from app.engine.loading import require_unchanged
from app.engine.room import until_it_fits
from app.models import PLAIN, FileUpscaler, Upscaler, enlarged, load_upscaler
from app.schema.choices import NO_UPSCALER
from app.schema.errors import OutOfMemory, UnknownChoice
from app.schema.request import FileIdentity

KEPT = 2
Tell = Callable[[int, int], None]


class UpscalerShelf:
    """One thread. make_room: takes something else off the device, False when there is nothing left to take.

    load: reads a network from its file. brought: upscalers of extensions, by name.
    """

    def __init__(
        self,
        device: torch.device,
        make_room: Callable[[], bool] = lambda: False,
        load: Callable[[Path, torch.device], FileUpscaler] = load_upscaler,
        brought: Mapping[str, Upscaler] | None = None,
    ) -> None:
        self._device = device
        self._make_room = make_room
        self._load = load
        self._without_file = {**PLAIN, **(brought or {})}
        self._kept: OrderedDict[FileIdentity, FileUpscaler] = OrderedDict()

    def enlarged(
        self,
        pixels: Tensor,
        name: str,
        file: FileIdentity | None,
        width: int,
        height: int,
        tell: Tell = lambda done, total: None,
    ) -> Tensor:
        """[3, H, W] uint8 at width x height, by A1111's rule (`app.models.enlarged`).

        file: of a network; None for those that need none. Raises UnknownChoice for another name without a file,
        ModelNotFound and ModelChanged for a file that is not what it was, OutOfMemory, and what the loader raises.
        """
        upscaler = self._upscaler(name, file)
        short = OutOfMemory(f"The device has not enough memory for the upscaler {name}.", field="upscaler")
        return until_it_fits(lambda: enlarged(pixels, width, height, upscaler, tell), self._make_room, short)

    def clear(self) -> None:
        """Gives the memory back."""
        self._kept.clear()

    def _upscaler(self, name: str, file: FileIdentity | None) -> Upscaler | None:
        if file is not None:
            return self._network(file)
        if name != NO_UPSCALER and name not in self._without_file:
            raise UnknownChoice(f"There is no upscaler called {name[:80]!r}.", field="upscaler")
        return self._without_file.get(name)

    def _network(self, file: FileIdentity) -> FileUpscaler:
        file = file.model_copy(update={"sha256": None})
        found = self._kept.pop(file, None)
        if found is None:
            require_unchanged(file, "upscaler")
            while len(self._kept) >= KEPT:
                self._kept.popitem(last=False)
            found = self._loaded(Path(file.path))
        self._kept[file] = found
        return found

    def _loaded(self, path: Path) -> FileUpscaler:
        short = OutOfMemory(f"The device has not enough memory for the upscaler {path.name}.", field="upscaler")
        return until_it_fits(lambda: self._load(path, self._device), self._drop_or_make_room, short)

    def _drop_or_make_room(self) -> bool:
        """The networks that are not in use go first."""
        if self._kept:
            self._kept.clear()
            return True
        return self._make_room()
