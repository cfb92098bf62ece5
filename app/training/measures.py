"""Measures: how well a training does on its way: loss on held-out pictures, drift of ordinary ones, the best step."""

from __future__ import annotations

import math
from typing import Any

from app.files.best_step import Measured, Suggestion, best_step
from app.models import LoadedModel
from app.schema.training import TrainingRequest
from app.training.data import Material, class_captions
from app.training.drift import DriftMeter
from app.training.lesson import DiffusionLesson, Pictures
from app.training.targets import Target

MEASURED = "measured"


class Measures:
    """What is measured of a training on its way; kept in the snapshots' facts, so that a resumed one judges alike."""

    def __init__(
        self,
        request: TrainingRequest,
        model: LoadedModel,
        target: Target,
        lesson: DiffusionLesson,
        material: Material,
        held_out: Pictures | None,
        facts: dict[str, Any],
    ) -> None:
        ordinary = [text for text in class_captions([one.sample for one in material.pictures], request) if text]
        self._lesson = lesson
        self._held_out = held_out
        self._facts = facts
        self._drift = DriftMeter(
            model,
            target,
            lesson,
            ordinary or [""],
            width=request.width,
            height=request.height,
            seed=request.seed,
        )

    def take(self, step: int) -> Measured:
        """Measures a step; what was measured of later ones, before the run was rolled back, is forgotten."""
        held_out = self._lesson.validation(self._held_out) if self._held_out is not None else None
        found = Measured(step, _finite(self._drift.measure()), _finite(held_out))
        before = [one for one in self._all() if one.step < step]
        self._facts[MEASURED] = [list(one) for one in (*before, found)]
        return found

    def best(self) -> Suggestion | None:
        """The step that looks best so far."""
        return best_step(self._all())

    def _all(self) -> list[Measured]:
        return [Measured(*one) for one in self._facts.get(MEASURED, ())]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
