"""Choosing an optimiser: a name -> one for these tensors, or the reason why it cannot be had.

Every group of parameters carries `factor`, its share of the learning rate. Knows no steps and no losses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from app.schema.errors import TrainingProblem
from app.training.optimizers.lion import Lion
from app.training.optimizers.prodigy import Prodigy

Groups = list[dict[str, Any]]
BETAS: Mapping[str, tuple[float, float]] = {"Lion": (0.9, 0.99)}
USUAL_BETAS = (0.9, 0.999)


def make_optimizer(
    name: str,
    parameters: Mapping[str, Tensor],
    *,
    factors: Mapping[str, float] | None = None,
    betas: tuple[float, float] | None = None,
    weight_decay: float = 0.0,
) -> torch.optim.Optimizer:
    """An optimiser over the parameters in their order; its rate is set at each step by whoever runs it.

    factors: of the rate by name of parameter, 1 where it says nothing. betas: None for what is usual.
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
    return OPTIMIZERS[name](given, betas or BETAS.get(name, USUAL_BETAS), weight_decay)


def _adamw(groups: Groups, betas: tuple[float, float], decay: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, lr=0.0, betas=betas, weight_decay=decay, fused=True)


def _adafactor(groups: Groups, betas: tuple[float, float], decay: float) -> torch.optim.Optimizer:
    from transformers.optimization import Adafactor  # noqa: PLC0415 - takes seconds

    # With its own rates off it follows the schedule, as every other optimiser does (kohya's advice for SDXL).
    return Adafactor(groups, lr=0.0, weight_decay=decay, scale_parameter=False, relative_step=False, warmup_init=False)


def _adamw8bit(groups: Groups, betas: tuple[float, float], decay: float) -> torch.optim.Optimizer:
    try:
        from bitsandbytes.optim import AdamW8bit  # noqa: PLC0415 - optional
    except ImportError as error:
        raise TrainingProblem(
            "AdamW8bit needs the package bitsandbytes, which is not installed.",
            field="optimizer",
            hint="Install it (pip install bitsandbytes; it wants an NVIDIA card), or take AdamW or Adafactor.",
        ) from error
    tensors: Iterable[Tensor] = (tensor for group in groups for tensor in group["params"])
    if any(not tensor.is_cuda for tensor in tensors):
        raise TrainingProblem("AdamW8bit works on NVIDIA cards only.", field="optimizer", hint="Take AdamW.")
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
