"""Soak: jobs for three checkpoints and two VAEs, where one model fits, and the memory that they leave."""

from __future__ import annotations

import gc
from itertools import count
from pathlib import Path
from typing import Any

import psutil

from tests.engine.studio import Studio, pictures
from tests.models.checkpoints import write_tiny_checkpoint


def soak(folder: Path, swaps: int, **widths: Any) -> list[int]:
    """Bytes of the process's own memory (USS, without libraries) after each of `swaps` loads of a checkpoint, the first
    at place 1."""
    checkpoints = [
        write_tiny_checkpoint(folder / f"{name}.safetensors", seed=seed, **widths) for seed, name in enumerate("abc")
    ]
    vaes = [None, *checkpoints[1:]]
    studio = Studio(budget=1, patience=0.0)
    process = psutil.Process()
    used = [0]
    for turn in count():
        if len(used) > swaps:
            return used[: swaps + 1]
        first, second = checkpoints[turn % 3], checkpoints[(turn + 1) % 3]
        studio.run(
            pictures(f"{turn}", first, vaes[turn % 2], owner="ann", steps=1, seed=turn),
            pictures(f"{turn}'", second, vaes[turn % 3], owner="bob", steps=1, seed=turn, batch_size=2),
        )
        loaded = sum(not name.startswith("VAE") for name in studio.loading.loaded)
        gc.collect()
        memory = _own_memory(process)
        used.extend([memory] * (loaded - len(used) + 1))


def _own_memory(process: psutil.Process) -> int:
    """Of torch's libraries 150 MB count as one's own until any other process begins to use them, too."""
    return sum(one.private_clean + one.private_dirty for one in process.memory_maps() if ".so" not in one.path)
