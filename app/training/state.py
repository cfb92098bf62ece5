"""State: what a run has come to, as a snapshot holds it, and back into parameters and optimiser.

Tensors lie in the snapshot under 'weights.', 'average.' and 'optimizer.', plain numbers in its facts, exact in JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from app.schema.errors import TrainingProblem
from app.training.optimizers import Prodigy
from app.training.snapshot import Snapshot, Snapshots

NUMBERS = "optimizer"
ESTIMATE = "estimate"
SCALER = "scaler"
SKIPPED = "skipped"


@dataclass
class State:
    """step: optimiser steps done. average: of each parameter, where one is kept. skipped: steps that are left out."""

    step: int = 0
    average: dict[str, Tensor] = field(default_factory=dict)
    skipped: tuple[int, ...] = ()


def restored(
    parameters: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler | None,
    snapshots: Snapshots,
    *,
    averaged: bool,
) -> State:
    """Fills parameters, optimiser and scaler from the newest snapshot; the beginning where there is none.

    Raises TrainingProblem for a snapshot of other parameters.
    """
    snapshot = snapshots.newest()
    if snapshot is None:
        return State(0, {name: p.detach().clone() for name, p in parameters.items()} if averaged else {})
    _require_same(parameters, snapshot)
    numbers = snapshot.facts.get(NUMBERS, {})
    with torch.no_grad():
        for name, tensor in parameters.items():
            tensor.copy_(snapshot.tensors[f"weights.{name}"])
    held: dict[str, dict[str, Any]] = {name: dict(numbers.get(name, {})) for name in parameters}
    for place, value in snapshot.tensors.items():
        if place.startswith("optimizer."):
            name, _, key = place.removeprefix("optimizer.").rpartition(".")  # an optimiser's keys have no dots
            held[name][key] = value.to(parameters[name].device)
    for name, tensor in parameters.items():
        if held[name]:
            optimizer.state[tensor] = held[name]
    if ESTIMATE in snapshot.facts and isinstance(optimizer, Prodigy):
        optimizer.estimate = dict(snapshot.facts[ESTIMATE])
    if scaler is not None and SCALER in snapshot.facts:
        scaler.load_state_dict(snapshot.facts[SCALER])
    average = {
        name: snapshot.tensors.get(f"average.{name}", tensor.detach()).to(tensor.device, copy=True)
        for name, tensor in parameters.items()
        if averaged
    }
    return State(snapshot.step, average, tuple(snapshot.facts.get(SKIPPED, ())))


def snapshot_of(
    state: State,
    parameters: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler | None,
    facts: Mapping[str, Any] | None,
) -> Snapshot:
    """The whole of a run, to be written at once: its tensors are the run's own."""
    tensors = {f"weights.{name}": tensor.detach() for name, tensor in parameters.items()}
    tensors |= {f"average.{name}": tensor for name, tensor in state.average.items()}
    numbers: dict[str, dict[str, Any]] = {}
    for name, tensor in parameters.items():
        for key, value in optimizer.state.get(tensor, {}).items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{name}.{key}"] = value.detach()
            else:
                numbers.setdefault(name, {})[key] = value
    told: dict[str, Any] = {
        NUMBERS: numbers,
        ESTIMATE: optimizer.estimate if isinstance(optimizer, Prodigy) else {},
        SCALER: scaler.state_dict() if scaler is not None else {},
        SKIPPED: list(state.skipped),
    }
    return Snapshot(
        state.step, _apart(tensors), {**(facts or {}), **{key: value for key, value in told.items() if value}}
    )


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """safetensors wants each tensor in memory of its own; tables that bitsandbytes shares are copied."""
    seen: set[int] = set()
    apart: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        place = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.clone() if place in seen else tensor
        seen.add(place)
    return apart


def _require_same(parameters: Mapping[str, Tensor], snapshot: Snapshot) -> None:
    there = {
        name.removeprefix("weights."): tuple(tensor.shape)
        for name, tensor in snapshot.tensors.items()
        if name.startswith("weights.")
    }
    here = {name: tuple(tensor.shape) for name, tensor in parameters.items()}
    if there != here:
        name = sorted(there.items() ^ here.items())[0][0]
        raise TrainingProblem(
            f"The snapshot of step {snapshot.step} belongs to a training of other weights: {name} differs.",
            hint="Go on with the settings the run was begun with, or begin a new run.",
        )
