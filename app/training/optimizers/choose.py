"""Choosing an optimiser: a name -> one for these tensors, or the reason why it cannot be had.

Every group of parameters carries `factor`, its share of the learning rate. Knows no steps and no losses.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from app.schema.errors import TrainingProblem
from app.training.optimizers.lion import Lion
from app.training.optimizers.prodigy import Prodigy

Groups = list[dict[str, Any]]
BETAS: Mapping[str, tuple[float, float]] = {"Lion": (0.9, 0.99), "Prodigy": (0.9, 0.99)}
USUAL_BETAS = (0.9, 0.999)
STATE_BYTES: Mapping[str, tuple[int, int]] = {
    "AdamW": (8, 8),
    "AdamW8bit": (2, 8),
    "Adafactor": (1, 4),
    "Lion": (4, 4),
    "Prodigy": (16, 16),
}
"""For each number trained, at the least and at the most: Adafactor factors matrices alone, and AdamW8bit keeps small
tensors in full."""


def make_optimizer(
    name: str,
    parameters: Mapping[str, Tensor],
    *,
    factors: Mapping[str, float] | None = None,
    betas: tuple[float, float] | None = None,
    weight_decay: float = 0.0,
    warms_up: bool = False,
) -> torch.optim.Optimizer:
    """An optimiser over the parameters in their order; its rate is set at each step by whoever runs it.

    factors: of the rate by name of parameter, 1 where it says nothing. betas: None for what is usual. warms_up: whether
    the rate rises at first, which Prodigy guards against.
    Raises TrainingProblem for a name that is not known or a package that is not there.
    """
    if name not in OPTIMIZERS:
        raise TrainingProblem(
            f"There is no optimiser '{name}'.", field="optimizer", hint=f"Take {', '.join(OPTIMIZERS)}."
        )
    groups: dict[float, list[Tensor]] = {}
    for parameter, tensor in parameters.items():
        groups.setdefault((factors or {}).get(parameter, 1.0), []).append(tensor)
    given: Groups = [{"params": tensors, "factor": factor} for factor, tensors in groups.items()]
    made = OPTIMIZERS[name](given, betas or BETAS.get(name, USUAL_BETAS), weight_decay)
    if isinstance(made, Prodigy):
        made.safeguard = warms_up
    return made


def require_8bit(device: torch.device | None = None) -> None:
    """Raises TrainingProblem where AdamW8bit cannot be had. device: None: not known yet."""
    if importlib.util.find_spec("bitsandbytes") is None:
        raise TrainingProblem(
            "AdamW8bit needs the package bitsandbytes, which is not installed.",
            field="optimizer",
            hint="Install it (pip install bitsandbytes; it wants an NVIDIA card), or take AdamW or Adafactor.",
        )
    if device is not None and device.type != "cuda":
        raise TrainingProblem("AdamW8bit works on NVIDIA cards only.", field="optimizer", hint="Take AdamW.")


def _adamw(groups: Groups, betas: tuple[float, float], decay: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, lr=0.0, betas=betas, weight_decay=decay, fused=True)


def _adafactor(groups: Groups, betas: tuple[float, float], decay: float) -> torch.optim.Optimizer:
    from transformers.optimization import Adafactor  # noqa: PLC0415 - takes seconds

    # With its own rates off it follows the schedule, as every other optimiser does (kohya's advice for SDXL).
    return Adafactor(groups, lr=0.0, weight_decay=decay, scale_parameter=False, relative_step=False, warmup_init=False)


def _adamw8bit(groups: Groups, betas: tuple[float, float], decay: float) -> torch.optim.Optimizer:
    require_8bit(groups[0]["params"][0].device)
    from bitsandbytes.optim import AdamW8bit  # noqa: PLC0415 - optional

    made: torch.optim.Optimizer = AdamW8bit(groups, lr=0.0, betas=betas, weight_decay=decay)
    return made


def _lion(groups: Groups, betas: tuple[float, float], decay: float) -> torch.optim.Optimizer:
    return Lion(groups, betas=betas, weight_decay=decay)


def _prodigy(groups: Groups, betas: tuple[float, float], decay: float) -> torch.optim.Optimizer:
    return Prodigy(groups, betas=betas, weight_decay=decay)


OPTIMIZERS: Mapping[str, Callable[[Groups, tuple[float, float], float], torch.optim.Optimizer]] = {
    "AdamW": _adamw,
    "AdamW8bit": _adamw8bit,
    "Adafactor": _adafactor,
    "Lion": _lion,
    "Prodigy": _prodigy,
}
