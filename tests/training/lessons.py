"""A tiny lesson with awkward names, and a process that learns it: `python -m tests.training.lessons FOLDER`."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from app.training import LoopSettings, Snapshot, Snapshots, constant, generator, with_warm_up
from app.training.loop import run

STEPS = 40
SETTINGS = LoopSettings(STEPS, 0.02, with_warm_up(constant(STEPS), 5), weight_decay=0.01, average=0.9, every=0.0)


class Bend:
    """Learns a bent line from noisy points; 'a.step.late' takes part in every third step alone."""

    def __init__(self) -> None:
        draws = generator(3, "first weights")
        shapes: dict[str, tuple[int, ...]] = {"a": (), "a.b": (5,), "a.b.weight": (5, 7), "a.step.late": (2, 3)}
        self.weights = {name: torch.randn(shape, generator=draws).requires_grad_() for name, shape in shapes.items()}

    def parameters(self) -> Mapping[str, Tensor]:
        return self.weights

    def loss(self, step: int) -> Tensor:
        draws = generator(3, "points", step)
        x, noise = torch.randn(16, 7, generator=draws), torch.randn(16, generator=draws)
        weights = self.weights
        answer = torch.tanh(x @ weights["a.b.weight"].T + weights["a.b"]).sum(1) * weights["a"]
        loss = (answer - torch.sin(x.sum(1)) - 0.1 * noise).pow(2).mean()
        return loss + weights["a.step.late"].pow(2).mean() if step % 3 == 2 else loss


def newest(folder: Path) -> Snapshot:
    """The newest snapshot, which must be there."""
    snapshot = Snapshots(folder).newest()
    assert snapshot is not None
    return snapshot


def digest(tensors: Mapping[str, Tensor]) -> str:
    """sha256 of names, types, shapes and bits."""
    found = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _report(step: int, loss: float, rate: float) -> None:
    """Tells of a step and waits for a line: so a reader can hold the process; at the end of input it goes on."""
    print(step, flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    torch.set_num_threads(1)
    run(Bend(), SETTINGS, Snapshots(Path(sys.argv[1])), _report)
