"""ModelMemory: which models are in memory, where, and how much they take; a value for whoever shows it.

Made on the engine's thread, read on any. All sizes are bytes.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

TierName = Literal["device", "host"]
"""'device': the graphics card's own memory. 'host': the machine's. Drawing on the CPU, 'host' is all there is."""


class ModelInMemory(NamedTuple):
    """One checkpoint or VAE in memory; what is in no list is on the disk alone.

    path: of its file, also the name for `Jobs.unload`, `pin` and `unpin`. name: the file's, without folders.
    kind: 'checkpoint' (U-Net and text encoders) or 'vae', which may come from a checkpoint's file. device_bytes,
    host_bytes: what it takes on each tier; a model may be spread over both. mapped_bytes: of host_bytes, what is shared
    with the file and given back by the operating system at need. in_use: used by the last group of work.
    precision: what it computes in, 'fp32', 'bf16' or 'fp16'; raised: higher than asked for, since it gave NaN.
    """

    path: str
    name: str
    kind: Literal["checkpoint", "vae"]
    device_bytes: int
    host_bytes: int
    mapped_bytes: int
    pinned: bool
    in_use: bool
    precision: str
    raised: bool = False

    @property
    def tier(self) -> TierName:
        """Where most of it is."""
        return "device" if self.device_bytes > self.host_bytes else "host"


class MemoryTier(NamedTuple):
    """One tier. device: torch's name of it. used: by models, mapped bytes counted as a sixteenth; budget: what models
    may take; total: what there is."""

    name: TierName
    device: str
    used: int
    budget: int
    total: int


class ModelMemory(NamedTuple):
    """All models in memory, the one used last first, and the tiers, the fastest first; both empty before the engine
    has been made."""

    models: tuple[ModelInMemory, ...] = ()
    tiers: tuple[MemoryTier, ...] = ()
