"""PipelineManager: the only owner of weights; lends one model for one group of work.

Loads what is absent and has the tiers bring the parts that a group needs onto the device and evict others. Does not
know who asks or why.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from app.engine.kept import Kept, Key
from app.engine.loader import Loader, Needs, Tell, spanning
from app.engine.row import PARTS, ModelChoice, PartName
from app.engine.tiers import SMALLER, Thrift, Tier, Tiers
from app.models import higher_precision, is_out_of_memory, move, precision_word, stream
from app.networks import NetworkSet, Report
from app.schema.errors import OutOfMemory
from app.schema.memory import MemoryTier, ModelInMemory, ModelMemory

if TYPE_CHECKING:
    from app.models import LoadedModel

_MOVING = 0.1
"""Share of a load's cost that bringing a model from the machine's memory to the device is taken for."""

_PATCHING = 0.02
"""The same of changing the networks on a model at hand."""


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
        self._thrift = thrift
        self._networks = networks
        self._reports: tuple[Report, ...] = ()
        self._tiers = Tiers(device, host, card, move=move, stream=stream)
        self._raised: dict[Key, torch.dtype] = {}
        self._current: ModelChoice | None = None
        self._told: tuple[int, ModelChoice | None, ModelMemory] | None = None

    @property
    def device(self) -> torch.device:
        """Where pictures are drawn."""
        return self._device

    @property
    def in_use(self) -> ModelChoice | None:
        """The choice used last, if it is still in memory."""
        return self._current if self._current is not None and self.kept(self._current) else None

    def kept(self, choice: ModelChoice) -> LoadedModel | None:
        """The model of a choice if all of it is in memory, without touching the order of use."""
        checkpoint, vae = (self._tiers.kept.get(key) for key in Key.both(choice))
        model: LoadedModel | None = checkpoint.value if checkpoint is not None and vae is not None else None
        return model

    def switch_cost(self, choice: ModelChoice) -> float:
        """What changing to a choice costs: 0 nothing, 1 a load."""
        both = [self._tiers.kept.get(key) for key in Key.both(choice)]
        found = [one for one in both if one is not None]
        if len(found) < len(both):
            return 1.0
        if choice == self._current:
            return 0.0
        idle = (
            self._tiers.card is None or bool(self._thrift) or all(part.at_hand for one in found for part in one.parts)
        )
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
        self._current = choice
        self._tiers.needed = tuple(part for one in (checkpoint, vae) for part in one.parts if part.name in needs)
        self._tiers.bring(Key.both(choice), self._thrift_for(model))
        self._reports = self._networks.apply(model, choice.networks) if self._networks is not None else ()
        self._tiers.give_back()
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
        self._tiers.pinned.add(path)
        self._tiers.changes += 1

    def unpin(self, path: str) -> None:
        """Takes the pin off; the models go when their turn comes."""
        self._tiers.pinned.discard(path)
        self._tiers.changes += 1

    def unload(self, path: str | None) -> None:
        """Drops what comes from a file, pinned or not; None: all that is not pinned."""
        self._tiers.drop_where(self._tiers.is_free if path is None else lambda one: one.path == path)

    def release(self) -> None:
        """Drops all that is not pinned and gives the memory back."""
        self.unload(None)

    def lend(self) -> None:
        """Frees a device of its own for another process: all goes to the machine's memory, or where that has no room
        and it is not pinned, out of memory."""
        if self._tiers.card is None:
            return
        pinned = {key for key, one in self._tiers.kept.items() if one.path in self._tiers.pinned}
        self._tiers.empty_device(self._tiers.card.budget + 1, (), pinned)
        self._tiers.give_back()

    def bytes(self) -> int:
        """What all kept models are charged with, in bytes."""
        return self._tiers.used(on_device=False) + self._tiers.used(on_device=True)

    def memory(self) -> ModelMemory:
        """The models in memory now, the one used last first."""
        tiers = self._tiers
        if self._told is None or self._told[:2] != (tiers.changes, self._current):
            current = Key.both(self._current) if self._current else ()
            models = tuple(self._describe(one, one.key in current) for one in reversed(tiers.kept.values()))
            rows = [MemoryTier("host", "cpu", tiers.used(on_device=False), *tiers.host)]
            if tiers.card is not None:
                rows.insert(0, MemoryTier("device", str(self._device), tiers.used(on_device=True), *tiers.card))
            self._told = tiers.changes, self._current, ModelMemory(models, tuple(rows))
        return self._told[2]

    def raise_precision(self, choice: ModelChoice) -> str | None:
        """After a U-Net gave NaN: from now on it is loaded in the next higher precision, whose name is the answer.

        None when there is none: then it is as before, since it was not the precision's fault.
        """
        key, _ = Key.both(choice)
        if key not in self._tiers.kept:
            return None
        higher = higher_precision(self._tiers.kept[key].dtype, self._device)
        if higher is None:
            if self._raised.pop(key, None):
                self._tiers.drop(self._tiers.kept[key])
            return None
        self._raised[key] = higher
        self._tiers.drop(self._tiers.kept[key])
        self._tiers.give_back()
        return precision_word(higher)

    def raised(self, choice: ModelChoice) -> dict[PartName, str]:
        """The parts of a choice that compute in a higher precision than asked for, and in which."""
        checkpoint, vae = Key.both(choice)
        names: list[tuple[PartName, Key]] = [("unet", checkpoint), ("vae", vae)]
        return {name: precision_word(self._raised[key]) for name, key in names if key in self._raised}

    def offload(self) -> bool:
        """After an allocation failed in spite of all: makes room around the parts in use; False when there is none to
        make. The first call moves or drops the others, the next runs the U-Net in use block by block."""
        return self._tiers.offload(Key.both(self._current) if self._current else ())

    def at_ease(self) -> None:
        """Ends the streaming that `offload` began: the next job wants the model as usual."""
        self._tiers.at_ease()

    def _both(self, choice: ModelChoice, tell: Tell | None) -> tuple[Kept, Kept]:
        keys = checkpoint, vae = Key.both(choice)
        kept = self._tiers.kept
        missing = [key for key in (vae, checkpoint) if key not in kept]
        if missing:
            needs = self._loader.survey(choice, unet=self._raised.get(checkpoint), vae=self._raised.get(vae))
            tells = spanning(tell, needs, missing)
            try:
                for key in missing:  # the VAE first, so that a checkpoint may come without one
                    self._load(key, choice, needs, tells[key])
            except BaseException:
                for key in missing:
                    kept.pop(key, None)
                self._tiers.changes += 1
                raise
            # Only now, so that each has had something to write over.
            self._tiers.make_room(0, keys, self._tiers.card is not None, None)
        for key in reversed(keys):
            kept.move_to_end(key)
        return kept[checkpoint], kept[vae]

    def _load(self, key: Key, choice: ModelChoice, needs: Needs, tell: Tell | None) -> None:
        """Loads one thing; where there is no memory for it, once more after everything else has gone."""
        survey = needs.of(key)
        keep = Key.both(choice)
        card = self._tiers.card
        whole = needs.vae.memory + needs.checkpoint.memory
        direct = card is not None and not self._thrift and whole <= card.budget
        spare = self._tiers.make_room(survey.memory, keep, direct, survey.signature)
        for last in (False, True):
            target = self._device if direct or card is None else torch.device("cpu")
            into = spare.value if spare is not None else None
            spare = None
            try:
                value = self._read(key, choice, target, into, tell)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if last:
                    raise OutOfMemory(
                        f"The device has not enough memory for {Path(key.file.path).name}.",
                        field="vae" if key.kind == "vae" and choice.vae else "checkpoint",
                        hint=SMALLER,
                    ) from error
            else:
                self._tiers.keep(Kept.of(key, value, survey.signature, on_device=direct))
                return
            # What is half written over is lost; what was already there for this choice stays.
            into = None
            direct = False
            self._tiers.drop_where(lambda one: self._tiers.is_free(one, keep))

    def _read(self, key: Key, choice: ModelChoice, target: torch.device, into: Any, tell: Tell | None) -> Any:
        raised = self._raised.get(key)
        if key.kind == "vae":
            return self._loader.vae(choice, target, raised, into, tell)
        if into is not None and self._networks is not None:
            self._networks.clear(into)
        vae = self._tiers.kept[Key.both(choice)[1]].value
        return self._loader.checkpoint(choice, target, raised, into, tell, vae)

    def _thrift_for(self, model: LoadedModel) -> Thrift:
        if self._thrift == "medvram-sdxl":
            return "medvram" if model.family.name.startswith("SDXL") else ""
        return self._thrift

    def _notice_raised_vae(self, vae: Kept) -> None:
        """A VAE that gave NaN has gone to float32 by itself; it starts there when it is loaded again."""
        if vae.value.dtype != vae.loaded_in:
            self._raised[vae.key] = vae.loaded_in = vae.value.dtype
            vae.signature = None
            vae.parts[0].measure()
            self._tiers.changes += 1

    def _describe(self, one: Kept, in_use: bool) -> ModelInMemory:
        return ModelInMemory(
            path=one.path,
            name=Path(one.path).name,
            kind=one.key.kind,
            device_bytes=sum(part.bytes for part in one.parts if part.on_device),
            host_bytes=sum(part.bytes for part in one.parts if not part.on_device),
            mapped_bytes=sum(part.mapped for part in one.parts if not part.on_device),
            pinned=one.path in self._tiers.pinned,
            in_use=in_use,
            precision=one.precision,
            raised=one.key in self._raised,
        )
