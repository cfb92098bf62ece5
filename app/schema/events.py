"""Events: what a job tells whoever watches it, and what the engine tells the worker.

Values only. State events are stored with ids and replayed; of Progress and Preview only the latest counts.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

JobState = Literal["queued", "running", "done", "failed", "cancelled", "lost"]
ENDED: tuple[JobState, ...] = ("done", "failed", "cancelled", "lost")


class Event(BaseModel):
    """Base of the events of a job; `kind` is the name in server-sent events."""

    model_config = ConfigDict(frozen=True)

    kind: str
    job: str


class Queued(Event):
    """Stored and waiting; position 0 is next."""

    kind: Literal["queued"] = "queued"
    position: int


class Started(Event):
    """The worker has claimed the job."""

    kind: Literal["started"] = "started"


class Notice(Event):
    """Something the user should know that stops nothing ('LoRA not found', 'decoded again in fp32')."""

    kind: Literal["notice"] = "notice"
    code: str
    text: str


class ImageReady(Event):
    """One finished picture, saved under `path` (relative to the data folder, forward slashes)."""

    kind: Literal["image"] = "image"
    index: int
    path: str
    seed: int
    variation_seed: int
    width: int
    height: int
    infotext: str
    partial: bool = False


class Finished(Event):
    """The job has ended in order: done, or cancelled by its owner. seconds: measured on the device."""

    kind: Literal["finished"] = "finished"
    state: Literal["done", "cancelled"]
    seconds: float


class Failed(Event):
    """The job has ended with an error (state failed), or its end is unknown (lost)."""

    kind: Literal["failed"] = "failed"
    state: Literal["failed", "lost"] = "failed"
    code: str
    message: str
    field: str | None = None


class Loading(NamedTuple):
    """How far the load of a model is. name: of its file. part: 'U-Net', 'text encoder' or 'VAE'.

    done, total: bytes of the file; rate: bytes a second so far, 0 while unknown.
    """

    name: str
    part: str
    done: int
    total: int
    rate: float


class Progress(Event):
    """How far a job is. progress: 0-1 over all its pictures; eta: seconds left or None; phase: words.

    loading: while a model is being loaded for it.
    """

    kind: Literal["progress"] = "progress"
    progress: float
    image: int
    images: int
    step: int
    steps: int
    eta: float | None
    phase: str
    loading: Loading | None = None


class Preview(Event):
    """A thumbnail of the picture in work; data is a data: URI."""

    kind: Literal["preview"] = "preview"
    index: int
    step: int
    data: str


class TrainingProgress(Event):
    """How far a training is. state: 'queued', 'running' or 'paused'. phase: words for what it does now.

    loss, rate: of the last step, None before the first. validation: loss on held-out pictures. drift: how far ordinary
    ones have changed, 0 for not at all. best, best_reason: the step that looks best so far, and why. eta: seconds left
    or None. memory: bytes on the device or, on a CPU, of the process.
    """

    kind: Literal["training"] = "training"
    state: str
    phase: str
    step: int
    steps: int
    loss: float | None = None
    validation: float | None = None
    drift: float | None = None
    best: int | None = None
    best_reason: str = ""
    rate: float | None = None
    eta: float | None = None
    memory: int | None = None


class SampleReady(Event):
    """A training has drawn a picture of what it has learnt; name: of its file among the run's samples."""

    kind: Literal["sample"] = "sample"
    name: str
    step: int
    prompt: str = ""


class TrainingMade(Event):
    """A training's file is in its model folder. path: of the file; name: without folder and suffix."""

    kind: Literal["made"] = "made"
    path: str
    name: str


StateEvent = Queued | Started | Notice | ImageReady | SampleReady | TrainingMade | Finished | Failed
LiveEvent = Progress | Preview | TrainingProgress


class RowAdvanced(NamedTuple):
    """Engine to worker: one model call of a picture is done. call counts from 1, of `calls` planned."""

    job: str
    image: int
    call: int
    calls: int
    step: int
    steps: int
    seconds: float


class RowPreviewed(NamedTuple):
    """Engine to worker: a thumbnail, RGB bytes of width x height."""

    job: str
    image: int
    step: int
    width: int
    height: int
    rgb: bytes


class BesidePicture(NamedTuple):
    """A step on the way to a picture, to be saved beside it. name: the end of its file's name. rgb: bytes."""

    name: str
    width: int
    height: int
    rgb: bytes


class RowFinished(NamedTuple):
    """Engine to worker: a picture, RGB bytes of width x height.

    partial: skipped or interrupted, decoded from the last denoised latent. facts: infotext entries that only
    the run knows (model hash, precision, ...), in writing order. notices: for the user.
    """

    job: str
    image: int
    width: int
    height: int
    rgb: bytes
    partial: bool
    facts: tuple[tuple[str, str], ...]
    notices: tuple[tuple[str, str], ...]
    seconds: float
    beside: tuple[BesidePicture, ...] = ()


class RowFailed(NamedTuple):
    """Engine to worker: this picture cannot be made; the others go on."""

    job: str
    image: int
    code: str
    message: str
    field: str | None
    seconds: float


class RowDropped(NamedTuple):
    """Engine to worker: this picture was skipped, interrupted or cancelled before there was anything to see."""

    job: str
    image: int


class ModelLoading(NamedTuple):
    """Engine to worker: words for the progress bar of the jobs that wait for a model.

    loading: None until there are bytes to tell of.
    """

    jobs: tuple[str, ...]
    phase: str
    loading: Loading | None = None


RowEvent = RowAdvanced | RowPreviewed | RowFinished | RowFailed | RowDropped | ModelLoading
