"""Together: several processes carry one training out, each with its own card and its share of every step's batches.

What they learn is what one alone would learn, but for rounding: sums are taken over all of them before each step.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any, Protocol

import torch
from torch import Tensor

from app.schema.errors import TrainingProblem
from app.schema.training import TrainingRequest
from app.training.packages import require_accelerate

_LONGEST_WAIT = timedelta(hours=12)
"""For the first process, which draws samples and writes files while the others wait."""
_AT_ONCE = 2**25
"""Numbers that are summed in one message."""


class Together(Protocol):
    """rank: of this process, the first one (0) alone writes and tells. size: how many there are. device: this one's,
    None: whichever there is."""

    rank: int
    size: int
    device: torch.device | None

    def total(self, number: float) -> float:
        """The sum of everybody's number."""
        ...

    def add(self, parameters: Mapping[str, Tensor]) -> None:
        """Every parameter's gradient becomes the sum of everybody's; None stays where nobody has one."""
        ...

    def first(self) -> AbstractContextManager[None]:
        """Inside, the first process goes before the others."""
        ...


class Alone:
    """One process. See `Together`."""

    rank = 0
    size = 1
    device: torch.device | None = None

    def total(self, number: float) -> float:
        """See `Together`."""
        return number

    def add(self, parameters: Mapping[str, Tensor]) -> None:
        """See `Together`."""

    def first(self) -> AbstractContextManager[None]:
        """See `Together`."""
        return nullcontext()


class Accelerated:
    """Processes that accelerate has brought together. See `Together`."""

    def __init__(self, accelerator: Any) -> None:
        self._accelerator = accelerator
        self.rank: int = accelerator.process_index
        self.size: int = accelerator.num_processes
        self.device: torch.device | None = accelerator.device

    def total(self, number: float) -> float:
        """See `Together`. In float64, so that it is the same in every process."""
        told = torch.tensor([number], dtype=torch.float64, device=self.device)
        return float(self._accelerator.reduce(told, "sum"))

    @torch.no_grad()
    def add(self, parameters: Mapping[str, Tensor]) -> None:
        """See `Together`."""
        tensors = list(parameters.values())
        held = torch.tensor([float(tensor.grad is not None) for tensor in tensors], device=self.device)
        known = self._accelerator.reduce(held, "sum").tolist()
        summed = [tensor for tensor, count in zip(tensors, known, strict=True) if count]
        for tensor in summed:
            if tensor.grad is None:
                tensor.grad = torch.zeros_like(tensor)
        for some in _portions(summed):
            grads = [tensor.grad for tensor in some if tensor.grad is not None]
            flat = self._accelerator.reduce(torch.cat([grad.flatten() for grad in grads]), "sum")
            for grad, part in zip(grads, flat.split([grad.numel() for grad in grads]), strict=True):
                grad.copy_(part.view_as(grad))

    @contextmanager
    def first(self) -> Iterator[None]:
        """See `Together`."""
        with self._accelerator.main_process_first():
            yield


def together() -> Together:
    """As the launcher of this process wants it: torchrun and `accelerate launch` say so in the environment.

    Raises TrainingProblem where several processes were started without the package accelerate.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return Alone()
    require_accelerate()
    from accelerate import Accelerator  # noqa: PLC0415 - optional, and takes seconds
    from accelerate.utils import InitProcessGroupKwargs  # noqa: PLC0415 - as above

    cpu = not torch.cuda.is_available()
    return Accelerated(Accelerator(cpu=cpu, kwargs_handlers=[InitProcessGroupKwargs(timeout=_LONGEST_WAIT)]))


def require_cards(request: TrainingRequest, there: int) -> None:
    """there: graphics cards of this machine that a training can have. Raises TrainingProblem."""
    if request.cards == 1:
        return
    require_accelerate()
    if request.cards > there:
        raise TrainingProblem(
            f"{request.cards} graphics cards are asked for, and {there or 'none'} can be had here.",
            field="cards",
            hint="Take 1." if there < 2 else f"Take up to {there}.",
        )


def _portions(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    portion: list[Tensor] = []
    for tensor in tensors:
        if portion and sum(one.numel() for one in portion) + tensor.numel() > _AT_ONCE:
            yield portion
            portion = []
        portion.append(tensor)
    if portion:
        yield portion
