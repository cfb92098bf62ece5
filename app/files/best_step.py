"""Best step: which step of a training looks best, told from held-out pictures and from how ordinary ones changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from app.files.run_log import Entry

MUCH = 0.5
"""Drift from which ordinary ones count as changed too much, see `app.training.drift`."""
_AS_GOOD = 1.005


class Measured(NamedTuple):
    """After a step; None where it was not looked at. drift: of ordinary ones. held_out: loss of held-out pictures."""

    step: int
    drift: float | None = None
    held_out: float | None = None


class Suggestion(NamedTuple):
    """A step, and why."""

    step: int
    reason: str


def best_step(measured: Sequence[Measured]) -> Suggestion | None:
    """None where nothing was measured. measured: by rising steps.

    Held-out pictures decide where there are any: the earliest step within half a percent of their lowest loss. Else the
    last step before ordinary ones have changed too much.
    """
    judged = [(one.held_out, one.step) for one in measured if one.held_out is not None]
    if judged:
        lowest, _ = min(judged)
        step = next(step for loss, step in judged if loss <= lowest * _AS_GOOD)
        return Suggestion(step, f"The loss on held-out pictures is lowest there ({lowest:.3g}).")
    drifts = [(one.step, one.drift) for one in measured if one.drift is not None]
    if not drifts:
        return None
    beyond = next((number for number, (_, drift) in enumerate(drifts) if drift > MUCH), None)
    if beyond is None:
        return Suggestion(drifts[-1][0], "Ordinary ones have stayed what they were.")
    words = f"After it ordinary ones change much ({drifts[beyond][1]:.0%} at step {drifts[beyond][0]})."
    return Suggestion(drifts[max(beyond - 1, 0)][0], words)


def measured_in(log: Iterable[Entry]) -> list[Measured]:
    """All that a run's log tells, by rising steps; of equal steps the last line counts."""
    found: dict[int, Measured] = {}
    for entry in log:
        if entry["kind"] in ("drift", "validation"):
            before = found.get(entry["step"], Measured(entry["step"]))
            own = {"drift": entry["drift"]} if entry["kind"] == "drift" else {"held_out": entry["loss"]}
            found[entry["step"]] = before._replace(**own)
    return [found[step] for step in sorted(found)]
