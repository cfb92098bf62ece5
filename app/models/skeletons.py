"""Skeletons: empty modules by architecture, each built once and copied for every load, and what was found out of files.

Building a U-Net takes ten times as long as mapping its file. Holds no weights.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

from torch import nn

from app.models.families import TextEncoderFacts
from app.models.shapes import TextShape, UNetShape, VaeShape

Kept = TypeVar("Kept")

# Not their subclasses: a configuration is one, and stays as it was made.
_OWN = (dict, OrderedDict, list, set)


class Skeletons:
    """One thread. keeps: so many modules, knows: so many findings; the oldest go."""

    def __init__(self, keeps: int = 16, knows: int = 64) -> None:
        self._keeps = keeps
        self._knows = knows
        self._modules: dict[Hashable, Any] = {}
        self._known: dict[Hashable, Any] = {}

    def unet(self, shape: UNetShape, heads: Sequence[int], norm_groups: int) -> Any:
        """An empty U-Net; as all of these a new one with each call."""
        # Importing diffusers and transformers takes seconds; the page must answer before.
        from app.models.build import build_unet  # noqa: PLC0415

        return self._copy(("unet", shape, tuple(heads), norm_groups), lambda: build_unet(shape, heads, norm_groups))

    def vae(self, shape: VaeShape, norm_groups: int, scaling_factor: float) -> Any:
        """An empty VAE."""
        from app.models.build import build_vae  # noqa: PLC0415 - as above

        key = ("vae", shape, norm_groups, scaling_factor)
        return self._copy(key, lambda: build_vae(shape, norm_groups, scaling_factor))

    def text_encoder(self, shape: TextShape, facts: TextEncoderFacts) -> Any:
        """An empty text encoder."""
        from app.models.build import build_text_encoder  # noqa: PLC0415 - as above

        return self._copy(("text", shape, facts), lambda: build_text_encoder(shape, facts))

    def known(self, key: Hashable, find: Callable[[], Kept]) -> Kept:
        """What follows from the key alone: where the parameters of an architecture lie, what a file's names tell."""
        found: Kept = _remembered(self._known, key, find, self._knows)
        return found

    def _copy(self, key: Hashable, build: Callable[[], Any]) -> Any:
        return twin(_remembered(self._modules, key, build, self._keeps))


def twin(module: nn.Module) -> Any:
    """The same module tree with the very same parameters, for others to be put in their place.

    What a module keeps in dictionaries, lists and sets is its own; other values (numbers, functions, a configuration)
    are shared. `copy.deepcopy` asks each of thousands of values how it wants to be copied, which takes half as long as
    building. A module that stands in several places stays one.
    """
    return _twin(module, {})


def _twin(module: nn.Module, made: dict[int, nn.Module]) -> nn.Module:
    known = made.get(id(module))
    if known is not None:
        return known
    new = made[id(module)] = module.__class__.__new__(module.__class__)
    new.__dict__ = {name: value.copy() if type(value) in _OWN else value for name, value in vars(module).items()}
    children = vars(new)["_modules"]
    for name, child in children.items():
        if child is not None:
            children[name] = _twin(child, made)
    return new


def _remembered(kept: dict[Hashable, Kept], key: Hashable, make: Callable[[], Kept], most: int) -> Kept:
    if key not in kept:
        while len(kept) >= most:
            del kept[next(iter(kept))]
        kept[key] = make()
    return kept[key]
