"""Events: what a training tells while it runs, each a plain value that can be written to a log."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app.training.plan import TrainingPlan


@dataclass(frozen=True)
class Prepared:
    """Everything was looked at; the training begins or goes on. step: done so far."""

    plan: TrainingPlan
    step: int


@dataclass(frozen=True)
class Encoded:
    """Pictures encoded by the VAE so far."""

    done: int
    total: int


@dataclass(frozen=True)
class Stepped:
    """One optimiser step. loss: of its pictures, NaN for a step that is left out. seconds: it took."""

    step: int
    steps: int
    epoch: int
    loss: float
    rate: float
    seconds: float


@dataclass(frozen=True)
class Validated:
    """Loss on held-out pictures after a step."""

    step: int
    loss: float


@dataclass(frozen=True)
class Drifted:
    """How far ordinary ones have moved after a step, see `drift`."""

    step: int
    drift: float


@dataclass(frozen=True)
class RolledBack:
    """A step gave no numbers: the run is again where its newest snapshot is, and will leave that step out."""

    step: int
    cause: str


@dataclass(frozen=True)
class Copied:
    """A copy of the file was kept."""

    step: int
    path: Path


@dataclass(frozen=True)
class Noted:
    """Something that the user should know and that stops nothing."""

    text: str


Event = Prepared | Encoded | Stepped | Validated | Drifted | RolledBack | Copied | Noted
