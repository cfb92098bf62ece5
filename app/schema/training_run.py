"""TrainingRun: one training with all that could drift resolved, as its run folder keeps it; and what a plan tells."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from app.schema.amounts import count_words, size_words
from app.schema.request import FileIdentity
from app.schema.training import TrainingRequest

RUN_VERSION = 1

TrainingState = Literal["queued", "running", "paused", "done", "failed", "cancelled"]
"""queued: it goes on when the device is free; paused: when it is told to."""
TRAINING_ENDED: tuple[TrainingState, ...] = ("done", "failed", "cancelled")


class TrainingRun(BaseModel):
    """What a run folder is made from; dates and ids that stand in the file that comes out are fixed here.

    created: seconds since 1970 (UTC). destination: path of the file that comes out, without suffix. threads: torch
    computes with, since their number changes rounding. device: as the flags name it, "" for the best there is.
    untrained: only the file that the training would begin with is made.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = RUN_VERSION
    id: str
    created: float
    request: TrainingRequest
    checkpoint: FileIdentity
    checkpoint_name: str
    vae: FileIdentity | None = None
    destination: str
    threads: int = 1
    device: str = ""
    untrained: bool = False


class BucketFacts(NamedTuple):
    """Pictures of one size to train at, in pixels."""

    width: int
    height: int
    pictures: int


class PlanFacts(BaseModel):
    """What a training will do, told before it starts.

    pictures: to learn from; held_out: kept back. per_epoch: shown in an epoch, repeats counted. steps_per_epoch:
    batches that show them all. parameters: numbers trained. memory_bytes: on the device, at the least. file_bytes: of
    what comes out. folder_bytes: that the run's snapshots, caches, samples and copies will take; free_bytes: that the
    drive has. Everything from parameters on is 0 where it was not counted.
    remarks: what the user should know that stops nothing.
    """

    model_config = ConfigDict(frozen=True)

    pictures: int
    held_out: int = 0
    buckets: tuple[BucketFacts, ...]
    per_epoch: int
    steps_per_epoch: int
    steps: int
    epochs: float
    parameters: int = 0
    memory_bytes: int = 0
    file_bytes: int = 0
    folder_bytes: int = 0
    free_bytes: int = 0
    remarks: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The plan in one line."""
        pictures = count_words(self.pictures, "picture")
        held = f" (and {self.held_out} held back)" if self.held_out else ""
        epochs = f"{self.epochs:.1f}" if self.epochs >= 1 else f"{self.epochs:.1g}"
        shown = (
            f"{pictures}{held} in {count_words(len(self.buckets), 'bucket')}, {self.per_epoch} shown per epoch, "
            f"{count_words(self.steps, 'step')} ({epochs} epochs)"
        )
        if not self.parameters:
            return shown
        trained, memory = count_words(self.parameters, "number"), size_words(self.memory_bytes)
        free = f", {size_words(self.free_bytes)} are free" if self.free_bytes else ""
        return (
            f"{shown}; {trained} trained in {memory} of memory and what the pictures need, "
            f"a file of {size_words(self.file_bytes)}; "
            f"{size_words(self.folder_bytes)} more on the disk while it runs{free}"
        )


class PictureFacts(BaseModel):
    """One picture of a training folder as it will be used.

    name: path inside the folder, forward slashes. width, height: in pixels. bucket: size it is trained at, in pixels.
    crop: (left, top, right, bottom) of what is kept, as shares of the picture. caption: "" where there is none.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    width: int
    height: int
    caption: str
    repeats: int
    bucket: tuple[int, int]
    crop: tuple[float, float, float, float]
