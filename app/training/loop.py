"""The loop: one optimiser step after another, with snapshots, until the last step; resumed, it gives the same bits.

Knows steps, gradients, averages and snapshots; what is learnt, from what and how is the lesson's.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from app.schema.errors import TrainingProblem
from app.training.optimizers import Prodigy, make_optimizer
from app.training.schedule import Schedule
from app.training.snapshot import Snapshots
from app.training.state import State, restored, snapshot_of
from app.training.together import Alone, Together

logger = logging.getLogger(__name__)
ALONE = Alone()

# Where gradients still overflow at this scale, they are no numbers at any.
_LEAST_SCALE = 2.0**-10
# A snapshot of gigabytes takes a while: at least so many times that long is learnt in between.
_REST = 10


class Lesson(Protocol):
    """What a run learns. All randomness of a step must follow from its number."""

    def parameters(self) -> Mapping[str, Tensor]:
        """The trainable tensors by name, float32, in a fixed order."""
        ...

    def loss(self, step: int) -> Tensor:
        """The loss of one step, a scalar with a graph. Where steps are accumulated, of one part:
        optimiser step * accumulation + part."""
        ...


@dataclass(frozen=True)
class LoopSettings:
    """steps: in all. rate: peak learning rate, shaped by `schedule`. clip: largest gradient norm, 0: none.

    average: decay of the moving average of the weights, 0: none; it warms up as (1 + n) / (10 + n).
    every: seconds between snapshots, more where writing one takes long; 0: after each step.
    accumulation: parts whose mean gradient makes a step. optimizer: of `OPTIMIZERS`. factors: of the rate, by name.
    warms_up: whether the schedule rises at first.
    half: the lesson computes in fp16, whose gradients are scaled. patience: how often numbers that are none may occur;
    each time the run goes back to its newest snapshot and leaves that step's pictures out.
    """

    steps: int
    rate: float
    schedule: Schedule
    betas: tuple[float, float] | None = (0.9, 0.99)
    weight_decay: float = 0.0
    clip: float = 1.0
    average: float = 0.0
    every: float = 60.0
    accumulation: int = 1
    optimizer: str = "AdamW"
    factors: Mapping[str, float] = field(default_factory=dict)
    warms_up: bool = False
    half: bool = False
    patience: int = 0


Report = Callable[[int, float, float], None]
AfterStep = Callable[[State], None]


class _NotFinite(Exception):
    """A loss or a gradient that is no number. Caught in `run`."""

    def __init__(self, what: str, value: float) -> None:
        super().__init__(what)
        self.what = what
        self.value = value


def run(
    lesson: Lesson,
    settings: LoopSettings,
    snapshots: Snapshots,
    report: Report = lambda step, loss, rate: None,
    facts: Mapping[str, Any] | None = None,
    until: int | None = None,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    after_step: AfterStep = lambda state: None,
    rolled_back: Callable[[int, str], None] = lambda step, cause: None,
    together: Together = ALONE,
) -> State:
    """Trains to settings.steps (or to `until`, or until should_stop()), resuming from the newest snapshot.

    report(step, loss, rate): after each step; Prodigy's rate is its own times the schedule's. facts: kept in every
    snapshot. after_step: with weights and averages as they are then, before a snapshot of them is written.
    rolled_back(step, cause): told where a step is left out; a snapshot that no batch gives numbers with goes then.
    together: whom a step's parts are shared with; the first one alone reports, writes and is asked whether to stop.
    Raises TrainingProblem when losses or gradients are no numbers more often than patience allows; snapshots stay.
    """
    parameters = dict(lesson.parameters())
    optimizer, scaler = _begin(parameters, settings)
    state = restored(parameters, optimizer, scaler, snapshots, averaged=settings.average > 0)
    last = settings.steps if until is None else min(until, settings.steps)
    leads = together.rank == 0
    if leads and settings.patience and state.step == 0 and last > 0:
        snapshots.save(snapshot_of(state, parameters, optimizer, scaler, facts))
    saved, rest = time.monotonic(), settings.every
    sound = back_at = -1  # the last step that gave numbers; where the run last went back to
    while state.step < last:
        rate = settings.rate * settings.schedule(state.step)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        if state.step not in state.skipped:
            try:
                loss = _step(lesson, settings, parameters, optimizer, scaler, state.step, together)
            except _NotFinite as problem:
                cause = f"The {problem.what} of step {state.step + 1} is {problem.value}."
                if sound < back_at:
                    # Two batches gave none with these weights: the snapshot is at fault, not a batch.
                    if leads:
                        snapshots.drop_after(sound)
                    together.total(0.0)  # nobody reads before it is gone
                if len(state.skipped) >= settings.patience:
                    raise TrainingProblem(
                        cause,
                        field="learning_rate",
                        hint="Take a lower learning rate; the run goes on from its newest snapshot.",
                    ) from problem
                logger.warning("%s The run goes back to its newest snapshot and leaves that step out.", cause)
                if leads:
                    rolled_back(state.step + 1, cause)
                skipped = (*state.skipped, state.step)
                optimizer, scaler = _begin(parameters, settings)
                state = restored(parameters, optimizer, scaler, snapshots, averaged=settings.average > 0)
                state.skipped = skipped
                back_at = state.step
                continue
            sound = state.step
            state.step += 1
            _follow(state, parameters, settings)
        else:
            loss = math.nan
            state.step += 1
        if leads:
            report(state.step, loss, rate * (optimizer.estimate["d"] if isinstance(optimizer, Prodigy) else 1.0))
            after_step(state)
        stopping = bool(together.total(leads and should_stop()))
        began = time.monotonic()
        due = began - saved >= rest and sound == state.step - 1  # what no batch has tried replaces nothing
        if leads and (due or state.step == last or stopping):
            snapshots.save(snapshot_of(state, parameters, optimizer, scaler, facts))
            saved = time.monotonic()
            rest = settings.every and max(settings.every, _REST * (saved - began))
        if stopping:
            break
    return state


def _begin(
    parameters: Mapping[str, Tensor], settings: LoopSettings
) -> tuple[torch.optim.Optimizer, torch.amp.GradScaler | None]:
    optimizer = make_optimizer(
        settings.optimizer,
        parameters,
        factors=settings.factors,
        betas=settings.betas,
        weight_decay=settings.weight_decay,
        warms_up=settings.warms_up,
    )
    device = next(iter(parameters.values())).device.type
    return optimizer, torch.amp.GradScaler(device) if settings.half else None


def _step(
    lesson: Lesson,
    settings: LoopSettings,
    parameters: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler | None,
    step: int,
    together: Together,
) -> float:
    """One optimiser step; returns its loss. Raises _NotFinite before weights that are no numbers could come about."""
    optimizer.zero_grad(set_to_none=True)
    total = 0.0
    for part in range(together.rank, settings.accumulation, together.size):
        loss = lesson.loss(step * settings.accumulation + part) / settings.accumulation
        total += loss.item()
        if not math.isfinite(total):
            break
        if loss.requires_grad:  # an embedding whose word no caption of the batch names is not asked anything
            (scaler.scale(loss) if scaler else loss).backward()
    total = together.total(total)
    if not math.isfinite(total):
        raise _NotFinite("loss", total)
    together.add(parameters)
    if all(tensor.grad is None for tensor in parameters.values()):
        return total
    if scaler:
        scaler.unscale_(optimizer)
    norm = torch.nn.utils.clip_grad_norm_(parameters.values(), settings.clip or math.inf).item()
    if scaler:
        # Gradients that overflow are the scaler's daily bread: it passes the step over and scales less.
        scaler.step(optimizer)
        scaler.update()
        if scaler.get_scale() < _LEAST_SCALE:
            raise _NotFinite("gradient norm", norm)
        return total
    if not math.isfinite(norm):
        raise _NotFinite("gradient norm", norm)
    optimizer.step()
    return total


def _follow(state: State, parameters: Mapping[str, Tensor], settings: LoopSettings) -> None:
    """The moving average takes one step."""
    if not settings.average:
        return
    decay = min(settings.average, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        torch._foreach_lerp_(list(state.average.values()), [p.detach() for p in parameters.values()], 1 - decay)
