"""The loop: one optimiser step after another, with snapshots, until the last step; resumed, it gives the same bits.

Knows steps, gradients, averages and snapshots; what is learnt, from what and how is the lesson's.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from app.schema.errors import TrainingProblem
from app.training.schedule import Schedule
from app.training.snapshot import Snapshot, Snapshots


class Lesson(Protocol):
    """What a run learns. All randomness of a step must follow from its number."""

    def parameters(self) -> Mapping[str, Tensor]:
        """The trainable tensors by name, float32, in a fixed order."""
        ...

    def loss(self, step: int) -> Tensor:
        """The loss of one step, a scalar with a graph."""
        ...


@dataclass(frozen=True)
class LoopSettings:
    """steps: in all. rate: peak learning rate, shaped by `schedule`. clip: largest gradient norm, 0: none.

    average: decay of the moving average of the weights, 0: none; it warms up as (1 + n) / (10 + n).
    every: seconds between snapshots.
    """

    steps: int
    rate: float
    schedule: Schedule
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0
    clip: float = 1.0
    average: float = 0.0
    every: float = 60.0


@dataclass
class State:
    """What a run has come to. average: of each parameter, where one is kept."""

    step: int = 0
    average: dict[str, Tensor] = field(default_factory=dict)


Report = Callable[[int, float, float], None]


def run(
    lesson: Lesson,
    settings: LoopSettings,
    snapshots: Snapshots,
    report: Report = lambda step, loss, rate: None,
    facts: Mapping[str, Any] | None = None,
    until: int | None = None,
) -> State:
    """Trains to settings.steps (or to `until`), resuming from the newest snapshot, and returns the state.

    report(step, loss, rate): after each step. facts: kept in every snapshot.
    Raises TrainingProblem when a loss is not a finite number: nothing can be learnt after it; earlier snapshots stay.
    """
    parameters = dict(lesson.parameters())
    optimizer = torch.optim.AdamW(
        parameters.values(), lr=settings.rate, betas=settings.betas, weight_decay=settings.weight_decay, fused=True
    )
    state = resume(parameters, optimizer, settings, snapshots)
    saved = time.monotonic()
    last = settings.steps if until is None else min(until, settings.steps)
    while state.step < last:
        rate = settings.rate * settings.schedule(state.step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        loss = lesson.loss(state.step)
        value = loss.item()
        _require_finite("loss", value, state.step)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters.values(), settings.clip or math.inf)
        _require_finite("gradient norm", norm.item(), state.step)
        optimizer.step()
        state.step += 1
        _follow(state, parameters, settings)
        report(state.step, value, rate)
        if time.monotonic() - saved >= settings.every or state.step == last:
            snapshots.save(_snapshot(state, parameters, optimizer, facts))
            saved = time.monotonic()
    return state


def _require_finite(what: str, value: float, step: int) -> None:
    """Stops before weights that are no numbers could reach a snapshot."""
    if not math.isfinite(value):
        raise TrainingProblem(
            f"The {what} of step {step + 1} is {value}.",
            field="learning_rate",
            hint="Take a lower learning rate; the run goes on from its newest snapshot.",
        )


def resume(
    parameters: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, settings: LoopSettings, snapshots: Snapshots
) -> State:
    """Fills parameters and optimiser from the newest snapshot; the beginning where there is none."""
    snapshot = snapshots.newest()
    if snapshot is None:
        average = {name: tensor.detach().clone() for name, tensor in parameters.items()} if settings.average else {}
        return State(0, average)
    with torch.no_grad():
        for name, tensor in parameters.items():
            tensor.copy_(snapshot.tensors[f"weights.{name}"])
    for name, tensor in parameters.items():
        # Where one name begins another ('a', 'a.b'), the dots tell their tensors apart: the optimiser's keys have none.
        held = {
            key.rpartition(".")[2]: value
            for key, value in snapshot.tensors.items()
            if key.startswith(f"optimizer.{name}.") and key.count(".") == name.count(".") + 2
        }
        if held:
            optimizer.state[tensor] = held
    average = {name: snapshot.tensors[f"average.{name}"] for name in parameters if settings.average}
    return State(snapshot.step, average)


def _follow(state: State, parameters: Mapping[str, Tensor], settings: LoopSettings) -> None:
    """The moving average takes one step."""
    if not settings.average:
        return
    decay = min(settings.average, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        torch._foreach_lerp_(list(state.average.values()), [p.detach() for p in parameters.values()], 1 - decay)


def _snapshot(
    state: State, parameters: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, facts: Mapping[str, Any] | None
) -> Snapshot:
    tensors = {f"weights.{name}": tensor.detach() for name, tensor in parameters.items()}
    tensors |= {f"average.{name}": tensor for name, tensor in state.average.items()}
    for name, tensor in parameters.items():
        for key, value in optimizer.state.get(tensor, {}).items():
            tensors[f"optimizer.{name}.{key}"] = value
    return Snapshot(state.step, {name: tensor.clone() for name, tensor in tensors.items()}, dict(facts or {}))
