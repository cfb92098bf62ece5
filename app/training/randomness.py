"""Counter-based randomness: every draw follows from (seed, purpose, step), so that resuming needs no state."""

from __future__ import annotations

import hashlib
import os

import numpy as np
import torch


def generator(seed: int, purpose: str, step: int = 0) -> torch.Generator:
    """A CPU generator for one purpose at one step; the same for the same three, whatever was drawn before."""
    return torch.Generator().manual_seed(_number(seed, purpose, step))


def numpy_generator(seed: int, purpose: str, step: int = 0) -> np.random.Generator:
    """The same for numpy's draws."""
    return np.random.default_rng(_number(seed, purpose, step))


def _number(seed: int, purpose: str, step: int) -> int:
    digest = hashlib.sha256(f"{seed}/{purpose}/{step}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def make_repeatable() -> None:
    """On a graphics card, kernels that add up in any order give way to those that do not, where there are some.

    Before the first of them runs (PyTorch, "Reproducibility"). On a CPU with one number of threads all are so.
    """
    if not torch.cuda.is_available():
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
