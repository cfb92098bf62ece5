"""A real engine over small real files, on the CPU: for tests of what happens to models while pictures are made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from app.engine import Engine, Loading, ModelChoice, PipelineManager, Runner, Scheduler, Tier
from app.files import Identity
from app.language import Tokenizer
from app.recipes import generate
from app.schema.request import FileIdentity, GenerationRequest, ImagePlan, ResolvedRequest

CPU = torch.device("cpu")
GIGABYTE = 1 << 30


class CountedLoading(Loading):
    """Remembers the names of what was loaded."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.loaded: list[str] = []

    def checkpoint(self, choice: ModelChoice, *rest: Any) -> Any:
        self.loaded.append(Path(choice.checkpoint.path).stem)
        return super().checkpoint(choice, *rest)

    def vae(self, choice: ModelChoice, *rest: Any) -> Any:
        self.loaded.append(f"VAE of {Path((choice.vae or choice.checkpoint).path).stem}")
        return super().vae(choice, *rest)


class Studio:
    """budget: bytes that models may take. offload: given to the runner instead of the manager's."""

    def __init__(self, *, budget: int = GIGABYTE, offload: Any = None, **scheduling: Any) -> None:
        self.loading = CountedLoading(CPU)
        self.pipelines = PipelineManager(self.loading, device=CPU, host=Tier(budget, budget))
        self.runner = Runner(Tokenizer(), offload or self.pipelines.offload)
        self.engine = Engine(self.pipelines, generate, scheduler=Scheduler(**scheduling), runner=self.runner)

    def run(self, *jobs: Sequence[ImagePlan]) -> list[Any]:
        """All events of some jobs that run side by side."""
        for job in jobs:
            for plan in job:
                self.engine.submit(plan)
        events: list[Any] = []
        while not self.engine.idle:
            events.extend(self.engine.step())
        return events


def identity(path: Path) -> FileIdentity:
    """As a resolved request names a file."""
    found = Identity.of(path)
    return FileIdentity(path=found.path, size=found.size, mtime_ns=found.mtime_ns)


def pictures(
    job: str, checkpoint: Path, vae: Path | None = None, *, owner: str = "ann", **fields: Any
) -> list[ImagePlan]:
    """The plans of a job: 64x64, 2 steps, fp32 unless said otherwise."""
    small = {"width": 64, "height": 64, "steps": 2, "sampler": "Euler", "precision": "fp32", "seed": 1}
    request = GenerationRequest(**(small | fields))
    resolved = ResolvedRequest(
        request=request,
        checkpoint=identity(checkpoint),
        checkpoint_name=checkpoint.stem,
        vae=identity(vae) if vae else None,
    )
    return [
        ImagePlan(job, owner, image, image // request.batch_size, request.seed + image, 0, resolved)
        for image in range(request.image_count)
    ]
