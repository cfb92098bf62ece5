"""NetworkSet: puts exactly the wanted networks on a model and takes them off again, without a trace.

Touches only what differs from what is on. Owns the opened files and the way back; does not know who asks. One thread.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from contextlib import ExitStack
from typing import NamedTuple, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from app.hooks import NetworkKind
from app.models.model import LoadedModel
from app.networks.keys import Layers, layers_of
from app.networks.network import Hook, Patch, Report, Vocabulary, Wanted
from app.networks.numbers import Scratch
from app.networks.open import NO_KINDS, Networks, Tokenise, open_network, require_family
from app.networks.originals import Originals

_MOST_OPEN = 64


class _Use(NamedTuple):
    """One patch as it acts on one weight."""

    patch: Patch
    strength: float
    rank: int | None

    @property
    def key(self) -> Hashable:
        return (self.patch.fingerprint, self.strength, self.rank)


class _State:
    """What is on one model. on: by path of weight, in order. hooks: fingerprints and strengths, in order."""

    def __init__(self, model: LoadedModel) -> None:
        self.originals = Originals(model)
        self.on: dict[str, tuple[Hashable, ...]] = {}
        self.hooks: tuple[Hashable, ...] = ()
        self.undo = ExitStack()  # runs all that it holds, whatever one of them raises
        self.wanted: tuple[Wanted, ...] = ()
        self.reports: tuple[Report, ...] = ()


class NetworkSet:
    """Networks on the models of one process.

    tokenise: token ids of an embedding's name, without the tokens at both ends. kinds: of extensions, by their words.
    """

    def __init__(self, tokenise: Tokenise, kinds: Mapping[str, NetworkKind] = NO_KINDS) -> None:
        self._tokenise = tokenise
        self._kinds = kinds
        self._scratch = Scratch()
        self._open: OrderedDict[Hashable, Networks] = OrderedDict()
        self._states: WeakKeyDictionary[LoadedModel, _State] = WeakKeyDictionary()
        self._names: WeakKeyDictionary[LoadedModel, Layers] = WeakKeyDictionary()

    @torch.inference_mode(mode=False)  # weights made inside inference mode could never be trained
    @torch.no_grad()
    def apply(self, model: LoadedModel, wanted: Sequence[Wanted]) -> tuple[Report, ...]:
        """Brings the model to exactly this set, in this order, and says how well each fits.

        Raises UnsupportedModel for a network of another family and what opening raises, before a weight is touched.
        Whatever else is raised on the way, an interrupt too, leaves the model without any network.
        """
        state = self._states.get(model)
        if (state.wanted if state is not None else ()) == tuple(wanted):
            return state.reports if state is not None else ()
        opened = [self._opened(one) for one in wanted]
        for networks in opened:
            for network in networks[:1]:
                require_family(network.name, network.family, model)
        if state is None:
            state = self._states[model] = _State(model)
        try:
            self._patch(model, state, wanted, opened)
            self._hook(model, state, wanted, opened)
        except BaseException:
            self.clear(model)
            raise
        state.wanted = tuple(wanted)
        model.vocabularies = tuple(
            cast("Vocabulary", network) for networks in opened for network in networks if hasattr(network, "tokens")
        )
        model.networks = tuple(networks[0].fingerprint for networks in opened)
        state.reports = tuple(networks[0].report(model) for networks in opened)
        return state.reports

    @torch.inference_mode(mode=False)
    @torch.no_grad()
    def clear(self, model: LoadedModel) -> None:
        """Takes everything off: each weight is again what the checkpoint's file says, bit for bit."""
        state = self._states.get(model)
        if state is None:
            return
        try:
            state.undo.close()
        finally:
            state.hooks, state.wanted, state.reports = (), (), ()
            for path in state.originals.changed:
                state.originals.restore(path)
            state.on = {}
            model.networks = model.vocabularies = ()

    def on(self, model: LoadedModel) -> tuple[Wanted, ...]:
        """What is on the model now."""
        state = self._states.get(model)
        return state.wanted if state is not None else ()

    def kept_bytes(self, model: LoadedModel) -> int:
        """Memory that copies of the model's own weights take, in bytes."""
        state = self._states.get(model)
        return state.originals.kept_bytes() if state is not None else 0

    def _opened(self, wanted: Wanted) -> Networks:
        key = wanted[:5]
        if key not in self._open:
            self._open[key] = open_network(wanted, self._tokenise, self._layers, self._kinds, self._scratch)
        self._open.move_to_end(key)
        while len(self._open) > _MOST_OPEN:
            self._open.popitem(last=False)
        return self._open[key]

    def _layers(self, model: LoadedModel) -> Layers:
        """The names of a model's layers, made once."""
        if model not in self._names:
            self._names[model] = layers_of(model)
        return self._names[model]

    @staticmethod
    def _patch(model: LoadedModel, state: _State, wanted: Sequence[Wanted], opened: Sequence[Networks]) -> None:
        uses: dict[str, list[_Use]] = defaultdict(list)
        for one, networks in zip(wanted, opened, strict=True):
            if not hasattr(networks[0], "changed"):
                continue
            patch = cast("Patch", networks[0])
            for path in patch.targets(model):
                strength = one.text if path.startswith("text_encoders.") else one.unet
                if strength != 0:
                    uses[path].append(_Use(patch, strength, one.rank))
        for path in [path for path in state.on if path not in uses]:
            state.originals.restore(path)
            del state.on[path]
        for path, each in uses.items():
            keys = tuple(use.key for use in each)
            if state.on.get(path) == keys:
                continue
            state.on.pop(path, None)

            def apply(weight: Tensor, path: str = path, each: list[_Use] = each) -> Tensor:
                for use in each:
                    weight = use.patch.changed(model, path, weight, use.strength, use.rank)
                return weight

            state.originals.change(path, apply)
            state.on[path] = keys

    @staticmethod
    def _hook(model: LoadedModel, state: _State, wanted: Sequence[Wanted], opened: Sequence[Networks]) -> None:
        hooks = [
            (cast("Hook", networks[0]), one.unet)
            for one, networks in zip(wanted, opened, strict=True)
            if hasattr(networks[0], "attach")
        ]
        keys = tuple((hook.fingerprint, strength) for hook, strength in hooks)
        if keys == state.hooks:
            return
        state.hooks = ()
        state.undo.close()
        for hook, strength in hooks:
            state.undo.callback(hook.attach(model, strength))
        state.hooks = keys
