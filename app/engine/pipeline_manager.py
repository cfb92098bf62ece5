"""PipelineManager: the only owner of weights; lends one model for one group of work.

Loads what is absent, brings the parts that a group needs onto the device, evicts the least recently used to the
machine's memory and from there to the disk, never a pinned model. Does not know who asks or why.
"""

from __future__ import annotations

import gc
import logging
import weakref
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import torch
from torch import nn

from app.engine.kept import Kept, Key, Part, counted
from app.engine.row import PARTS, ModelChoice, PartName
from app.models import higher_precision, is_out_of_memory, move, precision_word, stream
from app.networks import NetworkSet, Report
from app.schema.errors import OutOfMemory
from app.schema.memory import MemoryTier, ModelInMemory, ModelMemory

if TYPE_CHECKING:
    from app.models import LoadedModel, Survey, Vae

logger = logging.getLogger(__name__)

Tell = Callable[[str, int, int], None]
"""Called during a load with the part's name, bytes done and bytes in all."""

Thrift = Literal["", "medvram", "medvram-sdxl", "lowvram"]
"""How sparingly the device is used: by what fits, one part at a time (of SDXL only), the U-Net block by block."""

_MOVING = 0.1
"""Share of a load's cost that bringing a model from the machine's memory to the device is taken for."""


_PATCHING = 0.02
"""The same of changing the networks on a model at hand."""


class Needs(NamedTuple):
    """What the two things of a choice will take."""

    checkpoint: Survey
    vae: Survey


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


class Tier(NamedTuple):
    """budget: bytes that models may take. total: bytes that there are."""

    budget: int
    total: int


class PipelineManager:
    """Keeps checkpoints and VAEs apart, so that one is changed without the other. One thread.

    host: the machine's memory. card: of a device with its own, None where the device is the CPU. The thing in use is
    kept even when it alone is larger than a budget. networks: puts a choice's networks on; None leaves them out.
    move, stream: carry out what is decided here.
    """

    def __init__(
        self,
        loader: Loader,
        *,
        device: torch.device,
        host: Tier,
        card: Tier | None = None,
        thrift: Thrift = "",
        networks: NetworkSet | None = None,
        move: Callable[[nn.Module, torch.device], None] = move,
        stream: Callable[[nn.Module, torch.device], Callable[[], None]] = stream,
    ) -> None:
        self._loader = loader
        self._device = device
        self._host = host
        self._card = card
        self._thrift = thrift
        self._networks = networks
        self._reports: tuple[Report, ...] = ()
        self._move = move
        self._stream = stream
        self._kept: OrderedDict[Key, Kept] = OrderedDict()
        self._pinned: set[str] = set()
        self._raised: dict[Key, torch.dtype] = {}
        self._current: ModelChoice | None = None
        self._needed: tuple[Part, ...] = ()
        self._dropped: list[weakref.ref[Any]] = []
        self._let_go = False
        self._offloaded: list[Part] = []
        self._told: ModelMemory | None = None

    @property
    def in_use(self) -> ModelChoice | None:
        """The choice used last, if it is still in memory."""
        return self._current if self._current is not None and self.kept(self._current) else None

    def kept(self, choice: ModelChoice) -> LoadedModel | None:
        """The model of a choice if all of it is in memory, without touching the order of use."""
        checkpoint, vae = (self._kept.get(key) for key in Key.both(choice))
        model: LoadedModel | None = checkpoint.value if checkpoint is not None and vae is not None else None
        return model

    def switch_cost(self, choice: ModelChoice) -> float:
        """What changing to a choice costs: 0 nothing, 1 a load."""
        both = [self._kept.get(key) for key in Key.both(choice)]
        found = [one for one in both if one is not None]
        if len(found) < len(both):
            return 1.0
        if choice == self._current:
            return 0.0
        idle = self._card is None or bool(self._thrift) or all(part.at_hand for one in found for part in one.parts)
        if idle and self._networks is not None and self._networks.on(found[0].value) != choice.networks:
            return _PATCHING
        return 0.0 if idle else _MOVING

    @contextmanager
    def use(
        self, choice: ModelChoice, needs: Collection[PartName] = PARTS, tell: Tell | None = None
    ) -> Iterator[LoadedModel]:
        """Lends the model of a choice for one group; loads first what is absent.

        needs: the parts that will run, which are brought onto the device. tell: hears how a load goes on.
        Raises what the loader raises (BrokenModelFile, ModelChanged, OutOfMemory ...); nothing new is kept then.
        """
        checkpoint, vae = self._both(choice, tell)
        model: LoadedModel = checkpoint.value
        self._loader.join(model, vae.value, choice)
        model.compute_device = self._device
        if choice != self._current:
            self._current = choice
            self._told = None
        self._needed = tuple(part for one in (checkpoint, vae) for part in one.parts if part.name in needs)
        self._bring(self._needed, Key.both(choice), model)
        self._reports = self._networks.apply(model, choice.networks) if self._networks is not None else ()
        self._give_back()
        try:
            yield model
        finally:
            self._notice_raised_vae(vae)

    @property
    def network_reports(self) -> tuple[Report, ...]:
        """How well each network fits the model that was lent last."""
        return self._reports

    def pin(self, path: str) -> None:
        """What comes from this file stays in memory from now on."""
        self._pinned.add(path)
        self._told = None

    def unpin(self, path: str) -> None:
        """Takes the pin off; the models go when their turn comes."""
        self._pinned.discard(path)
        self._told = None

    def unload(self, path: str | None) -> None:
        """Drops what comes from a file, pinned or not; None: all that is not pinned."""
        self._drop_all(one for one in self._kept.values() if one.path == path or (path is None and self._is_free(one)))
        self._give_back()

    def release(self) -> None:
        """Drops all that is not pinned and gives the memory back."""
        self.unload(None)

    def lend(self) -> None:
        """Frees a device of its own for another process: all goes to the machine's memory, or where that has no room
        and it is not pinned, out of memory."""
        if self._card is None:
            return
        pinned = {key for key, one in self._kept.items() if one.path in self._pinned}
        self._empty_device(self._card.budget + 1, (), pinned)
        self._give_back()

    def bytes(self) -> int:
        """What all kept models are charged with, in bytes."""
        return self._used(on_device=False) + self._used(on_device=True)

    def memory(self) -> ModelMemory:
        """The models in memory now, the one used last first."""
        if self._told is None:
            current = Key.both(self._current) if self._current else ()
            models = tuple(self._describe(one, one.key in current) for one in reversed(self._kept.values()))
            host = MemoryTier("host", "cpu", self._used(on_device=False), *self._host)
            card = (
                [MemoryTier("device", str(self._device), self._used(on_device=True), *self._card)] if self._card else []
            )
            self._told = ModelMemory(models, (*card, host))
        return self._told

    def raise_precision(self, choice: ModelChoice) -> str | None:
        """After a U-Net gave NaN: from now on it is loaded in the next higher precision, whose name is the answer.

        None when there is none: then it is as before, since it was not the precision's fault.
        """
        key, _ = Key.both(choice)
        one = self._kept.get(key)
        if one is None:
            return None
        higher = higher_precision(one.dtype, self._device)
        if higher is None:
            if self._raised.pop(key, None):
                self._drop(one)
            return None
        self._raised[key] = higher
        self._drop(one)
        self._give_back()
        return precision_word(higher)

    def raised(self, choice: ModelChoice) -> dict[PartName, str]:
        """The parts of a choice that compute in a higher precision than asked for, and in which."""
        keys = zip(("unet", "vae"), Key.both(choice), strict=True)
        names: list[tuple[PartName, Key]] = [("unet" if name == "unet" else "vae", key) for name, key in keys]
        return {name: precision_word(self._raised[key]) for name, key in names if key in self._raised}

    def offload(self) -> bool:
        """After an allocation failed in spite of all: makes room around the parts in use; False when there is none to
        make. The first call moves or drops the others, the next runs the U-Net in use block by block."""
        if self._card is None:
            return self._drop_idle()
        others = [part for part in self._parts() if part.on_device and part not in self._needed]
        for part in others:
            self._to_host(part)
        if not others:
            whole = [part for part in self._needed if part.on_device and part.name == "unet"]
            for part in whole:
                self._start_streaming(part)
                self._offloaded.append(part)
            others = whole
        if others:
            self._give_back()
        return bool(others)

    def at_ease(self) -> None:
        """Ends the streaming that `offload` began: the next job wants the model as usual."""
        for part in self._offloaded:
            self._stop_streaming(part)
        self._offloaded.clear()

    def _both(self, choice: ModelChoice, tell: Tell | None) -> tuple[Kept, Kept]:
        keys = checkpoint, vae = Key.both(choice)
        missing = [key for key in (vae, checkpoint) if key not in self._kept]
        if missing:
            unet_dtype, vae_dtype = self._raised.get(checkpoint), self._raised.get(vae)
            needs = self._loader.survey(choice, unet=unet_dtype, vae=vae_dtype)
            tells = _spanning(tell, needs, missing)
            try:
                for key in missing:  # the VAE first, so that a checkpoint may come without one
                    self._load(key, choice, needs, tells[key])
            except BaseException:
                for key in missing:
                    self._kept.pop(key, None)
                raise
            # Only now, so that each has had something to write over.
            self._make_room(0, keys, self._card is not None, None)
        for key in reversed(keys):
            self._kept.move_to_end(key)
            if missing:
                self._told = None
        return self._kept[checkpoint], self._kept[vae]

    def _load(self, key: Key, choice: ModelChoice, needs: Needs, tell: Tell | None) -> None:
        """Loads one thing; where there is no memory for it, once more after everything else has gone."""
        is_vae = key.kind == "vae"
        survey = needs.vae if is_vae else needs.checkpoint
        keep = Key.both(choice)
        raised = self._raised.get(key)
        whole = needs.vae.memory + needs.checkpoint.memory
        direct = self._card is not None and not self._thrift and whole <= self._card.budget
        spare = self._make_room(survey.memory, keep, direct, survey.signature)
        for last in (False, True):
            target = self._device if direct or self._card is None else torch.device("cpu")
            into = spare.value if spare is not None else None
            spare = None
            if into is not None and not is_vae and self._networks is not None:
                self._networks.clear(into)
            try:
                if is_vae:
                    value: Any = self._loader.vae(choice, target, raised, into, tell)
                else:
                    vae = self._kept[keep[1]].value
                    value = self._loader.checkpoint(choice, target, raised, into, tell, vae)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if last:
                    raise OutOfMemory(
                        f"The device has not enough memory for {Path(key.file.path).name}.",
                        field="vae" if is_vae and choice.vae else "checkpoint",
                        hint="Choose a smaller checkpoint or half precision, or close other programs that use the "
                        "device.",
                    ) from error
            else:
                self._kept[key] = Kept.of(key, value, survey.signature, on_device=direct)
                return
            # What is half written over is lost; what was already there for this choice stays.
            into = None
            direct = False
            for one in list(self._kept.values()):
                if one.key not in keep and one.path not in self._pinned:
                    self._drop(one)
            self._give_back()

    def _make_room(self, size: int, keep: Collection[Key], on_device: bool, signature: object) -> Kept | None:
        """Evicts until `size` more bytes fit on a tier. The answer is a thing dropped on the way whose memory can be
        written over by what has this signature."""
        if on_device:
            spare = self._empty_device(size, (), keep, signature)
        else:
            spare = self._empty_host(size, keep, signature)
        if spare is None:
            self._give_back()
        return spare

    def _empty_host(self, size: int, keep: Collection[Key], signature: object = None) -> Kept | None:
        for one in list(self._kept.values()):
            if self._used(on_device=False) + size <= self._host.budget:
                break
            if one.key in keep or one.path in self._pinned or not one.bytes(on_device=False):
                continue
            self._drop(one)
            if _fits(one, signature, on_device=False):
                return one
        return None

    def _empty_device(
        self, size: int, needed: Collection[Part], keep: Collection[Key], signature: object = None
    ) -> Kept | None:
        """Parts go to the machine's memory where there is room, else their whole thing is dropped. Those of `keep`
        find room in any case, since they are wanted again in a moment."""
        assert self._card is not None
        for one in list(self._kept.values()):
            for part in one.parts:
                if self._used(on_device=True) + size <= self._card.budget:
                    return None
                if not part.on_device or part in needed or (one.path in self._pinned and one.key not in keep):
                    continue
                self._empty_host(part.bytes, {*keep, one.key})
                if one.key in keep or self._used(on_device=False) + part.bytes <= self._host.budget:
                    self._to_host(part)
                    continue
                self._drop(one)
                if _fits(one, signature, on_device=True):
                    return one
                break
        return None

    def _bring(self, parts: Collection[Part], keep: Collection[Key], model: LoadedModel) -> None:
        """Onto the device, each in the way that its thrift and the card's size allow."""
        if self._card is None:
            return
        thrift = self._thrift
        if thrift == "medvram-sdxl":
            thrift = "medvram" if model.family.name.startswith("SDXL") else ""
        if thrift:
            for other in self._parts():
                if other.on_device and other not in parts:
                    self._to_host(other)
        for part in parts:
            if part.at_hand:
                continue
            streamed = part.name == "unet" and (thrift == "lowvram" or part.bytes > self._card.budget)
            self._empty_device(0 if streamed else part.bytes, parts, keep)
            if streamed:
                self._start_streaming(part)
            else:
                self._to_device(part)

    def _to_device(self, part: Part) -> None:
        """Moves a part; where the card is full all the same, the others leave it, and a U-Net is streamed."""
        for last in (False, True):
            try:
                for module in part.modules:
                    self._move(module, self._device)
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
                        "The device has not enough memory for this model.",
                        field="checkpoint",
                        hint="Choose a smaller checkpoint or half precision, or close other programs that use the "
                        "device.",
                    ) from error
            else:
                part.on_device = True
                part.measure()
                self._told = None
                return
            for other in self._parts():
                if other.on_device and other is not part:
                    self._to_host(other)
            self._give_back()

    def _to_host(self, part: Part) -> None:
        self._stop_streaming(part)
        if part.on_device:
            for module in part.modules:
                self._move(module, torch.device("cpu"))
            part.on_device = False
            part.measure()
            self._told = None
            self._let_go = True

    def _start_streaming(self, part: Part) -> None:
        self._to_host(part)
        undos = [self._stream(module, self._device) for module in part.modules]

        def stop() -> None:
            for undo in undos:
                undo()

        part.stop_streaming = stop
        self._told = None

    def _stop_streaming(self, part: Part) -> None:
        if part.stop_streaming is not None:
            part.stop_streaming()
            part.stop_streaming = None

    def _drop_idle(self) -> bool:
        """Drops whatever is neither in use nor pinned; whether there was anything."""
        keep = Key.both(self._current) if self._current else ()
        idle = [one for one in self._kept.values() if one.key not in keep and one.path not in self._pinned]
        for one in idle:
            self._drop(one)
        found = bool(idle)
        del idle
        self._give_back()
        return found

    def _drop(self, one: Kept) -> None:
        for part in one.parts:
            self._stop_streaming(part)
        self._needed = tuple(part for part in self._needed if part not in one.parts)
        self._kept.pop(one.key, None)
        self._dropped.append(weakref.ref(one.value))
        self._let_go = True
        self._told = None

    def _notice_raised_vae(self, vae: Kept) -> None:
        """A VAE that gave NaN has gone to float32 by itself; it starts there when it is loaded again."""
        if vae.value.dtype != vae.loaded_in:
            self._raised[vae.key] = vae.loaded_in = vae.value.dtype
            vae.signature = None
            vae.parts[0].measure()
            self._told = None

    def _give_back(self) -> None:
        """Returns memory that was let go of. Collecting cycles takes a tenth of a second, so it is done only where
        something that was dropped is still there."""
        if not self._let_go:
            return
        self._let_go = False
        if any(one() is not None for one in self._dropped):
            gc.collect()
        self._dropped.clear()
        if self._card is not None and self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _parts(self) -> list[Part]:
        return [part for one in self._kept.values() for part in one.parts]

    def _used(self, *, on_device: bool) -> int:
        return counted(self._parts(), on_device=on_device)

    def _describe(self, one: Kept, in_use: bool) -> ModelInMemory:
        return ModelInMemory(
            path=one.path,
            name=Path(one.path).name,
            kind=one.key.kind,
            device_bytes=sum(part.bytes for part in one.parts if part.on_device),
            host_bytes=sum(part.bytes for part in one.parts if not part.on_device),
            mapped_bytes=sum(part.mapped for part in one.parts if not part.on_device),
            pinned=one.path in self._pinned,
            in_use=in_use,
            precision=one.precision,
            raised=one.key in self._raised,
        )


def _fits(one: Kept, signature: object, *, on_device: bool) -> bool:
    """Whether what was dropped can be written over by something with this signature on this tier."""
    here = all(part.on_device == on_device for part in one.parts)
    return here and signature is not None and one.signature == signature


def _spanning(tell: Tell | None, needs: Needs, missing: Sequence[Key]) -> dict[Key, Tell | None]:
    """One count over all that is loaded for a choice."""
    sizes = [needs.vae.stored if key.kind == "vae" else needs.checkpoint.stored for key in missing]

    def shifted(tell: Tell, before: int) -> Tell:
        return lambda part, done, _: tell(part, min(before + done, sum(sizes)), sum(sizes))

    before = list(accumulate(sizes, initial=0))
    return {key: None if tell is None else shifted(tell, start) for key, start in zip(missing, before, strict=False)}
