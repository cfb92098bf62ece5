"""An engine of formulas: pixels follow from the seed, steps are counted only, and faults come on demand.

The prompt chooses the fault: 'fail' fails the picture, 'break' raises out of step(), 'die' ends the process; 'load'
says that a model is loaded first.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL.Image import Image, Resampling, blend, new

from app.schema.events import (
    Loading,
    ModelLoading,
    RowAdvanced,
    RowDropped,
    RowEvent,
    RowFailed,
    RowFinished,
    RowPreviewed,
)
from app.schema.memory import ModelInMemory, ModelMemory
from app.schema.request import FaceFiles, FileIdentity, ImagePlan


def picture(seed: int, width: int, height: int) -> bytes:
    """RGB bytes that belong to a seed."""
    pixel = bytes(((seed >> shift) * 37 + 11) % 256 for shift in (0, 8, 16))
    return pixel * (width * height)


@dataclass
class Row:
    plan: ImagePlan
    call: int = 0
    skipped: bool = False


class FakeEngine:
    """Keeps the contract of `app.jobs.engine.Engine`: one batch of one job a step, jobs in turn."""

    def __init__(
        self, before_group: Callable[[list[tuple[str, int, int]]], None] = lambda rows: None, pause: float = 0.0
    ) -> None:
        self.before_group = before_group
        self.pause = pause
        self.rows: list[Row] = []
        self.submitted: list[ImagePlan] = []
        self.dropped: list[RowEvent] = []
        self.watched: set[str] = set()
        self.closed = False
        self.loaded: set[str] = set()
        self.groups: list[list[tuple[str, int, int]]] = []
        self.listener: Callable[[RowEvent], None] = lambda event: None
        self.paths = ["models/formula.safetensors"]
        self.pinned: list[str] = []
        self.lent = 0

    @property
    def idle(self) -> bool:
        return not self.rows and not self.dropped

    def submit(self, plan: ImagePlan) -> None:
        self.rows.append(Row(plan))
        self.submitted.append(plan)

    def watch(self, jobs: set[str]) -> None:
        self.watched = jobs

    def skip(self, job: str) -> None:
        for row in self.rows:
            row.skipped |= row.plan.job == job and row.call > 0

    def interrupt(self, job: str) -> None:
        self.skip(job)
        self._drop([row for row in self.rows if row.plan.job == job and row.call == 0])

    def cancel(self, job: str) -> None:
        self._drop([row for row in self.rows if row.plan.job == job])

    def listen(self, listener: Callable[[RowEvent], None]) -> None:
        self.listener = listener

    def memory(self) -> ModelMemory:
        return ModelMemory(
            tuple(
                ModelInMemory(path, "formula.safetensors", "checkpoint", 0, 7, 0, path in self.pinned, True, "fp32")
                for path in self.paths
            )
        )

    def unload(self, path: str | None) -> None:
        self.paths = [kept for kept in self.paths if kept != path and (path is not None or kept in self.pinned)]

    def reload(self) -> None:
        self.paths = ["models/formula.safetensors"]

    def pin(self, path: str) -> None:
        self.pinned.append(path)

    def unpin(self, path: str) -> None:
        self.pinned.remove(path)

    def lend(self) -> None:
        self.lent += 1

    def enlarged(
        self,
        picture: Image,
        upscaler: str,
        file: FileIdentity | None,
        width: int,
        height: int,
        tell: Callable[[int, int], None],
    ) -> Image:
        """By Pillow; 'Nearest' as such, all others as Lanczos."""
        tell(0, 2)
        tell(1, 2)
        filters = {"Nearest": Resampling.NEAREST}
        return picture.resize((width, height), filters.get(upscaler, Resampling.LANCZOS))

    def faces_restored(
        self, picture: Image, files: FaceFiles, visibility: float, tell: Callable[[int, int], None]
    ) -> tuple[Image, int]:
        """In white all of a picture that is not black; a black one has no face."""
        tell(0, 2)
        if picture.getbbox() is None:
            return picture, 0
        return blend(picture, new("RGB", picture.size, "white"), visibility), 1

    def captioned(self, picture: Image, folder: Path) -> str:
        """By size."""
        return f"a picture of {picture.width} by {picture.height}"

    def close(self) -> None:
        self.rows.clear()
        self.closed = True

    def step(self) -> list[RowEvent]:
        events, self.dropped = self.dropped, []
        for row in [row for row in self.rows if row.skipped]:
            events.append(self._finish(row))
        if not self.rows:
            return events
        first_of_jobs = {row.plan.job: row for row in reversed(self.rows)}.values()
        leader = min(first_of_jobs, key=lambda row: (row.plan.image, row.call))
        group = [row for row in self.rows if (row.plan.job, row.plan.batch) == (leader.plan.job, leader.plan.batch)]
        if leader.plan.resolved.request.prompt == "load" and leader.plan.job not in self.loaded:
            self.loaded.add(leader.plan.job)
            half = Loading("formula.safetensors", "U-Net", 50_000_000, 100_000_000, 400e6)
            self.listener(ModelLoading((leader.plan.job,), "Loading formula: U-Net", half))
            return [*events, ModelLoading((leader.plan.job,), "Loading formula")]
        marks = [(row.plan.job, row.plan.image, row.call) for row in group]
        self.groups.append(marks)
        self.before_group(marks)
        time.sleep(self.pause)
        for row in group:
            events.extend(self._advance(row))
        return events

    def _advance(self, row: Row) -> list[RowEvent]:
        plan, request = row.plan, row.plan.resolved.request
        match request.prompt:
            case "fail":
                self.rows.remove(row)
                return [RowFailed(plan.job, plan.image, "not_finite", "The picture is not finite.", None, 0.1)]
            case "break":
                raise RuntimeError("the engine broke")
            case "die" if row.call == 1:
                os._exit(9)
        row.call += 1
        events: list[RowEvent] = [
            RowAdvanced(plan.job, plan.image, row.call, request.steps, row.call, request.steps, 0.01)
        ]
        if plan.job in self.watched:
            events.append(RowPreviewed(plan.job, plan.image, row.call, 8, 8, picture(plan.seed, 8, 8)))
        if row.call == request.steps:
            events.append(self._finish(row))
        return events

    def _finish(self, row: Row) -> RowFinished:
        self.rows.remove(row)
        plan, request = row.plan, row.plan.resolved.request
        rgb = picture(plan.seed, request.width, request.height)
        return RowFinished(
            plan.job, plan.image, request.width, request.height, rgb, row.skipped, (), (("odd", "Something odd."),), 0.5
        )

    def _drop(self, rows: list[Row]) -> None:
        self.dropped.extend(RowDropped(row.plan.job, row.plan.image) for row in rows)
        self.rows = [row for row in self.rows if row not in rows]
