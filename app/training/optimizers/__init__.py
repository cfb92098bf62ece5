"""Optimisers by the name that the request has: PyTorch's, our own, and two that other packages bring."""

from app.training.optimizers.choose import OPTIMIZERS, STATE_BYTES, make_optimizer, require_8bit
from app.training.optimizers.lion import Lion
from app.training.optimizers.prodigy import Prodigy

__all__ = ["OPTIMIZERS", "STATE_BYTES", "Lion", "Prodigy", "make_optimizer", "require_8bit"]
