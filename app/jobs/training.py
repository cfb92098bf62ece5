"""Training: one job of kind 'training' as it stood when it was read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from app.schema.events import Failed, SampleReady, TrainingMade
from app.schema.training_run import TRAINING_ENDED, TrainingRun, TrainingState

TrainingWish = Literal["go", "pause", "stop", "cancel"]
"""pause: rest with a snapshot. stop: end with what is learnt so far. cancel: end with nothing."""


@dataclass(frozen=True)
class Training:
    """folder: of the run, relative to the data folder, forward slashes. times: seconds since 1970 (UTC).

    started: when it was first begun, or begun again after it had failed. made: what came out. error: how it failed.
    """

    id: str
    owner: str
    state: TrainingState
    wish: TrainingWish
    run: TrainingRun
    folder: str
    submitted: float
    started: float | None = None
    ended: float | None = None
    made: TrainingMade | None = None
    error: Failed | None = None
    samples: tuple[SampleReady, ...] = ()

    @property
    def over(self) -> bool:
        """True when nothing more will come of it."""
        return self.state in TRAINING_ENDED
