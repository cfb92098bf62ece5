"""AfterStep: what happens after steps of a training: measures, samples, copies; and the file at its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from app.models import LoadedModel
from app.schema.training import TrainingRequest
from app.training.data import Material
from app.training.events import Copied, Drifted, Event, Stepped, Validated
from app.training.lesson import DiffusionLesson
from app.training.measures import Measures
from app.training.metadata import base_facts, metadata_of
from app.training.plan import TrainingPlan
from app.training.state import State
from app.training.targets import Target

MEASURE_EVERY = 100
"""Steps between measures where no samples are drawn."""
OUTBOX, COPIES, BEST = "outbox", "copies", "best"

Report = Callable[[Event], None]
DrawSamples = Callable[[int, Target], None]


class AfterStep:
    """One training's."""

    def __init__(
        self,
        request: TrainingRequest,
        model: LoadedModel,
        folder: Path,
        material: Material,
        plan: TrainingPlan,
        target: Target,
        measures: Measures,
        lesson: DiffusionLesson,
        report: Report,
        draw_samples: DrawSamples | None,
    ) -> None:
        self.request = request
        self.model = model
        self.folder = folder
        self.material = material
        self.plan = plan
        self.target = target
        self.measures = measures
        self.lesson = lesson
        self.report = report
        self.draw_samples = draw_samples
        self._began = time.monotonic()

    def begin(self) -> None:
        """The clock of the next step runs from here."""
        self._began = time.monotonic()

    def stepped(self, step: int, loss: float, rate: float) -> None:
        """Tells of a step."""
        now = time.monotonic()
        epoch = (step * self.request.accumulation - 1) // self.plan.batches_per_epoch + 1
        self.report(Stepped(step, self.plan.steps, epoch, loss, rate, now - self._began))
        self._began = now

    def after(self, state: State) -> None:
        """Measures, samples and copies, where they are due; none of them changes what is learnt."""
        request, last = self.request, state.step == self.plan.steps
        self.target.begin(None)
        every = request.sample_every or MEASURE_EVERY
        if state.step % every == 0 or last:
            self._measure(state, last)
        if self.draw_samples and request.sample_every and (state.step % request.sample_every == 0 or last):
            with averaged(self.target, state):
                self.draw_samples(state.step, self.target)
        if request.save_every and state.step % request.save_every == 0 and not last:
            name = f"{request.name}-{state.step:06d}{self.target.suffix}"
            self.report(Copied(state.step, self.export(self.folder / COPIES / name, state)))
            copies = sorted((self.folder / COPIES).glob(f"*-??????{self.target.suffix}"))
            for older in copies[: -request.keep_copies]:
                older.unlink(missing_ok=True)
        self.begin()

    def _measure(self, state: State, last: bool) -> None:
        """Tells how well the step does, and keeps its file while it is the best so far."""
        with averaged(self.target, state):
            found = self.measures.take(state.step)
        if found.held_out is not None:
            self.report(Validated(state.step, found.held_out))
        if found.drift is not None:
            self.report(Drifted(state.step, found.drift))
        best = self.measures.best()
        if not self.request.keep_best or best is None or best.step != state.step:
            return
        path = self.folder / BEST / f"{self.request.name}-{state.step:06d}{self.target.suffix}"
        older = [other for other in path.parent.glob("*") if other != path]
        if not last:  # the last step's file comes out anyway
            self.export(path, state)
        for other in older:
            other.unlink(missing_ok=True)

    @cached_property
    def _base(self) -> dict[str, str]:
        """What the file tells of the checkpoint, whose bytes are read once."""
        return base_facts(self.model)

    def export(self, path: Path, state: State) -> Path:
        """The file as it is after a step: averaged where an average is kept."""
        path.parent.mkdir(parents=True, exist_ok=True)
        told = metadata_of(self.request, self.model, self.material, self.plan, state.step) | self._base
        with averaged(self.target, state):
            return self.target.export(path, told)


@contextmanager
def averaged(target: Target, state: State) -> Iterator[None]:
    """Inside, the parameters are their averages, where a run keeps some; afterwards what they were, to the bit."""
    if not state.average:
        yield
        return
    parameters = target.parameters()
    raw = {name: tensor.detach().clone() for name, tensor in parameters.items()}
    _put(parameters, state.average)
    try:
        yield
    finally:
        _put(parameters, raw)


@torch.no_grad()
def _put(parameters: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    for name, tensor in parameters.items():
        tensor.copy_(values[name])
