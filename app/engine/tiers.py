"""Tiers: what is kept on the device, in the machine's memory or no more, and who makes room for whom.

Least recently used goes first, a pinned thing never. Carries parts from one tier to the other; loads nothing and does
not know what a group of work needs next.
"""

from __future__ import annotations

import gc
import weakref
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from typing import Any, Literal, NamedTuple

import torch
from torch import nn

from app.engine.kept import Kept, Key, Part, counted
from app.models import is_out_of_memory, move, stream
from app.schema.errors import OutOfMemory

Thrift = Literal["", "medvram", "medvram-sdxl", "lowvram"]
"""How sparingly the device is used: by what fits, one part at a time (of SDXL only), the U-Net block by block."""


class Tier(NamedTuple):
    """budget: bytes that models may take. total: bytes that there are."""

    budget: int
    total: int


class Tiers:
    """The kept things, the one used last at the end. host, card, move, stream: as PipelineManager has them.

    kept, pinned: to be read; pinned holds paths of files. changes: counts up whenever any of this is another than it
    was. needed: the parts of the group at work, set by the owner.
    """

    def __init__(
        self,
        device: torch.device,
        host: Tier,
        card: Tier | None,
        *,
        move: Callable[[nn.Module, torch.device], None] = move,
        stream: Callable[[nn.Module, torch.device], Callable[[], None]] = stream,
    ) -> None:
        self.device = device
        self.host = host
        self.card = card
        self.kept: OrderedDict[Key, Kept] = OrderedDict()
        self.pinned: set[str] = set()
        self.needed: tuple[Part, ...] = ()
        self.changes = 0
        self._move = move
        self._stream = stream
        self._dropped: list[weakref.ref[Any]] = []
        self._let_go = False
        self._offloaded: list[Part] = []

    def parts(self) -> list[Part]:
        """Of all kept things."""
        return [part for one in self.kept.values() for part in one.parts]

    def used(self, *, on_device: bool) -> int:
        """What all of it is charged with on a tier, in bytes."""
        return counted(self.parts(), on_device=on_device)

    def keep(self, one: Kept) -> None:
        """Takes in what was just loaded."""
        self.kept[one.key] = one
        self.changes += 1

    def is_free(self, one: Kept, keep: Collection[Key] = ()) -> bool:
        """Whether it may go: neither pinned nor one of those to keep."""
        return one.key not in keep and one.path not in self.pinned

    def drop(self, one: Kept) -> None:
        """Forgets it; its memory is given back by the next `give_back`, unless it is written over before."""
        for part in one.parts:
            self.stop_streaming(part)
        self.needed = tuple(part for part in self.needed if part not in one.parts)
        self.kept.pop(one.key, None)
        self._dropped.append(weakref.ref(one.value))
        self._let_go = True
        self.changes += 1

    def drop_where(self, goes: Callable[[Kept], bool]) -> bool:
        """Drops all that a question is true of, and gives their memory back; whether there was any."""
        keys = [key for key, one in self.kept.items() if goes(one)]
        for key in keys:  # by key: a name for the last one would keep it alive
            self.drop(self.kept[key])
        self.give_back()
        return bool(keys)

    def make_room(self, size: int, keep: Collection[Key], on_device: bool, signature: object) -> Kept | None:
        """Evicts until `size` more bytes fit on a tier. The answer is a thing dropped on the way whose memory can be
        written over by what has this signature."""
        if on_device:
            spare = self.empty_device(size, (), keep, signature)
        else:
            spare = self._empty_host(size, keep, signature)
        if spare is None:
            self.give_back()
        return spare

    def _empty_host(self, size: int, keep: Collection[Key], signature: object = None) -> Kept | None:
        for one in list(self.kept.values()):
            if self.used(on_device=False) + size <= self.host.budget:
                break
            if not self.is_free(one, keep) or not one.bytes(on_device=False):
                continue
            self.drop(one)
            if _fits(one, signature, on_device=False):
                return one
        return None

    def empty_device(
        self, size: int, needed: Collection[Part], keep: Collection[Key], signature: object = None
    ) -> Kept | None:
        """Parts go to the machine's memory where there is room, else their whole thing is dropped. Those of `keep`
        find room in any case, since they are wanted again in a moment."""
        assert self.card is not None
        for one in list(self.kept.values()):
            for part in one.parts:
                if self.used(on_device=True) + size <= self.card.budget:
                    return None
                if not part.on_device or part in needed or (one.path in self.pinned and one.key not in keep):
                    continue
                self._empty_host(part.bytes, {*keep, one.key})
                if one.key in keep or self.used(on_device=False) + part.bytes <= self.host.budget:
                    self.to_host(part)
                    continue
                self.drop(one)
                if _fits(one, signature, on_device=True):
                    return one
                break
        return None

    def bring(self, keep: Collection[Key], thrift: Thrift) -> None:
        """The needed parts onto the device, each in the way that thrift and the card's size allow."""
        if self.card is None:
            return
        if thrift:
            self._all_to_host(part for part in self.parts() if part not in self.needed)
        for part in self.needed:
            if part.at_hand:
                continue
            streamed = part.name == "unet" and (thrift == "lowvram" or part.bytes > self.card.budget)
            self.empty_device(0 if streamed else part.bytes, self.needed, keep)
            if streamed:
                self._start_streaming(part)
            else:
                self._to_device(part)

    def offload(self, keep: Collection[Key]) -> bool:
        """Makes room around the needed parts, as `PipelineManager.offload` says. keep: things that stay."""
        if self.card is None:
            return self.drop_where(lambda one: self.is_free(one, keep))
        moved = self._all_to_host(part for part in self.parts() if part not in self.needed)
        if not moved:
            whole = [part for part in self.needed if part.on_device and part.name == "unet"]
            for part in whole:
                self._start_streaming(part)
                self._offloaded.append(part)
            moved = bool(whole)
        if moved:
            self.give_back()
        return moved

    def at_ease(self) -> None:
        """Ends the streaming that `offload` began."""
        for part in self._offloaded:
            self.stop_streaming(part)
        self._offloaded.clear()

    def _to_device(self, part: Part) -> None:
        """Moves a part; where the card is full all the same, the others leave it, and a U-Net is streamed."""
        for last in (False, True):
            try:
                for module in part.modules:
                    self._move(module, self.device)
            except Exception as error:
                for module in part.modules:
                    self._move(module, torch.device("cpu"))
                if not is_out_of_memory(error):
                    raise
                if last and part.name == "unet":
                    self._start_streaming(part)
                    return
                if last:
                    raise OutOfMemory(
                        "The device has not enough memory for this model.", field="checkpoint", hint=SMALLER
                    ) from error
            else:
                self._now(part, on_device=True)
                return
            self._all_to_host(other for other in self.parts() if other is not part)
            self.give_back()

    def _all_to_host(self, parts: Iterable[Part]) -> bool:
        """Those of the parts that are on the device; whether there were any."""
        there = [part for part in parts if part.on_device]
        for part in there:
            self.to_host(part)
        return bool(there)

    def to_host(self, part: Part) -> None:
        """Into the machine's memory, wherever it is."""
        self.stop_streaming(part)
        if part.on_device:
            for module in part.modules:
                self._move(module, torch.device("cpu"))
            self._now(part, on_device=False)
            self._let_go = True

    def _now(self, part: Part, *, on_device: bool) -> None:
        part.on_device = on_device
        part.measure()
        self.changes += 1

    def _start_streaming(self, part: Part) -> None:
        self.to_host(part)
        undos = [self._stream(module, self.device) for module in part.modules]

        def stop() -> None:
            for undo in undos:
                undo()

        part.stop_streaming = stop
        self.changes += 1

    def stop_streaming(self, part: Part) -> None:
        """It lies in the machine's memory and runs nowhere, if it was run block by block."""
        if part.stop_streaming is not None:
            part.stop_streaming()
            part.stop_streaming = None

    def give_back(self) -> None:
        """Returns memory that was let go of. Collecting cycles takes tenths of a second, so it is done only where
        something that was dropped is still there."""
        if not self._let_go:
            return
        self._let_go = False
        if any(one() is not None for one in self._dropped):
            gc.collect()
        self._dropped.clear()
        if self.card is not None and self.device.type == "cuda":
            torch.cuda.empty_cache()


SMALLER = "Choose a smaller checkpoint or half precision, or close other programs that use the device."


def _fits(one: Kept, signature: object, *, on_device: bool) -> bool:
    """Whether what was dropped can be written over by something with this signature on this tier."""
    here = all(part.on_device == on_device for part in one.parts)
    return here and signature is not None and one.signature == signature
