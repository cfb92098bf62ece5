"""Prodigy: Adam that finds its own step size (Mishchenko and Defazio 2023); the rate is a factor of it.

Algorithm 4 of the paper with decoupled weight decay and bias correction, the settings that LoRA trainings use.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor


class Prodigy(torch.optim.Optimizer):
    """State of each parameter: `first`, `moment`, `square`, `sum`. `estimate`: what all share, plain numbers.

    estimate: d, the step size; numerator, of its bound; steps done. The groups' `factor` scales their steps and leaves
    the estimate alone, which supposes one rate for all.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1.0,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
        epsilon: float = 1e-8,
        first_step: float = 1e-6,
        safeguard: bool = False,
    ) -> None:
        """safeguard: the rate is left out of the bound's denominator, so that a warm-up does not drive the estimate up
        (the authors' `safeguard_warmup`)."""
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay, "factor": 1.0})
        self.epsilon = epsilon
        self.first_step = first_step
        self.safeguard = safeguard
        self.estimate: dict[str, float] = {"d": first_step, "numerator": 0.0, "steps": 0}

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step; the size is estimated from this step's gradients before anything moves."""
        d, count = self.estimate["d"], int(self.estimate["steps"])
        pairs = [
            (group, tensor) for group in self.param_groups for tensor in group["params"] if tensor.grad is not None
        ]
        if not pairs:
            return
        first, second = self.param_groups[0]["betas"]
        forgets = math.sqrt(second)
        correction = math.sqrt(1 - second ** (count + 1)) / (1 - first ** (count + 1))
        rate = max(group["lr"] / (group["factor"] or 1.0) for group in self.param_groups)
        size = d * rate * correction
        share = d / self.first_step
        numerator = self.estimate["numerator"] * forgets
        denominator = 0.0
        for _, parameter in pairs:
            state, gradient = self._state_of(parameter), parameter.grad
            assert gradient is not None
            if rate > 0:
                way = (state["first"] - parameter).flatten()
                numerator += share * size * torch.dot(gradient.flatten(), way).item()
                state["moment"].mul_(first).add_(gradient, alpha=d * (1 - first))
                state["square"].mul_(second).addcmul_(gradient, gradient, value=d * d * (1 - second))
                state["sum"].mul_(forgets).add_(gradient, alpha=share * (d if self.safeguard else size))
            denominator += state["sum"].abs().sum().item()
        if denominator == 0:
            return
        if rate > 0:
            d = max(d, numerator / denominator)
        self.estimate = {"d": d, "numerator": numerator, "steps": count + 1}
        for group, parameter in pairs:
            state = self._state_of(parameter)
            moved = size * (group["lr"] / rate if rate > 0 else 0.0)
            if group["weight_decay"]:
                parameter.mul_(1 - group["weight_decay"] * moved)
            parameter.addcdiv_(state["moment"], state["square"].sqrt().add_(d * self.epsilon), value=-moved)

    def _state_of(self, parameter: Tensor) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[parameter]
        if not state:
            state["first"] = parameter.detach().clone()
            for name in ("moment", "square", "sum"):
                state[name] = torch.zeros_like(parameter)
        return state
