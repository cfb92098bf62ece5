"""Kept: one checkpoint or one VAE in memory, in parts that move between a device and the machine's memory.

Bookkeeping of `PipelineManager`, which is the only one to hold these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import nn

from app.engine.row import ModelChoice, PartName
from app.models import charged, computes_in, precision_word, taken
from app.schema.request import FileIdentity

Kind = Literal["checkpoint", "vae"]


class Key(NamedTuple):
    """What a kept thing is found by: its kind, the file it comes from, the precision that was asked for.

    lenders: the files that its text encoders come from, where they are not its own.
    """

    kind: Kind
    file: FileIdentity
    precision: str
    lenders: tuple[FileIdentity, ...] = ()

    @classmethod
    def both(cls, choice: ModelChoice) -> tuple[Key, Key]:
        """Of the checkpoint and of the VAE of a choice; the checkpoint's own VAE is a thing of its own too."""
        vae = choice.vae or choice.checkpoint
        checkpoint = cls("checkpoint", choice.checkpoint, choice.precision, choice.text_encoders)
        return checkpoint, cls("vae", vae, choice.precision)


@dataclass(eq=False)
class Part:
    """What moves as one.

    bytes, mapped: as `Taken` counts. on_device: on the graphics card, not in the machine's memory.
    stop_streaming: set while it is run block by block from the machine's memory.
    """

    name: PartName
    modules: tuple[nn.Module, ...]
    bytes: int = 0
    mapped: int = 0
    on_device: bool = False
    stop_streaming: Callable[[], None] | None = None

    @property
    def at_hand(self) -> bool:
        """Whether it can run on the device as it is."""
        return self.on_device or self.stop_streaming is not None

    def measure(self) -> None:
        """Counts anew, after a load or a change of precision."""
        counted = taken(self.modules)
        self.bytes, self.mapped = counted.device + counted.host, counted.mapped


@dataclass(eq=False)
class Kept:
    """value: LoadedModel or Vae. signature: equal for two that can take each other's weights, None for nothing.

    loaded_in: the precision of its last part when it was loaded.
    """

    key: Key
    value: Any
    parts: tuple[Part, ...]
    signature: object
    loaded_in: torch.dtype = torch.float32

    @classmethod
    def of(cls, key: Key, value: Any, signature: object, *, on_device: bool) -> Kept:
        """What was just loaded."""
        if key.kind == "vae":
            parts: tuple[Part, ...] = (Part("vae", (value.module,)),)
        else:
            encoders = tuple(encoder.module for encoder in value.text_encoders)
            parts = (Part("text", encoders), Part("unet", (value.unet,)))
        for part in parts:
            part.on_device = on_device
            part.measure()
        return cls(key, value, parts, signature, computes_in(parts[-1].modules[0]))

    @property
    def path(self) -> str:
        """Of its file."""
        return self.key.file.path

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""
        return computes_in(self.parts[-1].modules[0])

    @property
    def precision(self) -> str:
        """The same as a word."""
        return precision_word(self.dtype)

    def bytes(self, *, on_device: bool) -> int:
        """What it is charged with on one tier."""
        return counted(self.parts, on_device=on_device)


def counted(parts: Iterable[Part], *, on_device: bool) -> int:
    """What the parts are charged with on one tier."""
    return sum(charged(part.bytes, 0 if on_device else part.mapped) for part in parts if part.on_device == on_device)
