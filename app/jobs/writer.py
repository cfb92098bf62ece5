"""Writer: saves pictures and ends jobs on its own thread, so that the device waits for no disk.

The only one who settles pictures. A name is reserved in the store, the file made whole under it, then marked; after a
kill `recovery` finishes what stands in between. Knows neither engine nor queue.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Protocol

from app.jobs.bus import Told
from app.jobs.hashing import lacks_hashes
from app.jobs.job import Job
from app.jobs.networks import network_entries
from app.jobs.store import Outcome, Store
from app.schema.errors import CannotWrite, EaselError, UnexpectedFailure
from app.schema.events import Failed, ImageReady, Notice, RowFailed, RowFinished
from app.schema.infotext import NO_MODELS, Models, picture_entries, write_infotext
from app.schema.request import ImagePlan

logger = logging.getLogger(__name__)

MOST_WAITING = 64
"""Pictures in memory before the engine's thread waits for the disk after all."""
KEPT_UNSAVED = timedelta(days=1)
CLEARED_EVERY = 3600.0
"""Seconds."""


class PictureFiles(Protocol):
    """Where pictures go and how a file is made."""

    def names(self, plan: ImagePlan, finished: RowFinished) -> Iterator[str]:
        """Paths relative to the data folder that nobody uses yet, in the order of preference."""
        ...

    def write(self, path: str, finished: RowFinished, infotext: str) -> None:
        """Makes the file whole under its name or not at all.

        Raises FileExistsError when there is one already, DiskFull or CannotWrite.
        """
        ...

    def clear_unsaved(self, before: datetime) -> None:
        """Removes the pictures that were not to be saved and are older."""
        ...


@dataclass
class _Work:
    """One job on the writer's desk. left: pictures not settled. said: notices that were told already."""

    job: Job
    left: set[int]
    problem: Failed | None = None
    said: set[tuple[str, str]] = field(default_factory=set)


class Writer:
    """Does what it is given in order, on one thread.

    add_hashes: fills in the sha256 of a job's files before its first infotext. abandon: called (on this thread) with
    the id of a job that failed here, so that its other pictures are not made. job_ended: called with each job's id.
    models: of the extensions whose values infotexts tell. keep: stores a picture's pixels for those that follow from
    it, and returns their hash; `followed` is called with job, picture and hash once it is saved.
    """

    def __init__(
        self,
        store: Store,
        files: PictureFiles,
        *,
        add_hashes: Callable[[Job], Job] = lambda job: job,
        extra_entries: Callable[[ImagePlan], Iterable[tuple[str, str]]] = lambda plan: (),
        abandon: Callable[[str], None] = lambda job: None,
        job_ended: Callable[[str], None] = lambda job: None,
        models: Models = NO_MODELS,
        keep: Callable[[RowFinished], str] | None = None,
    ) -> None:
        self._store = store
        self._files = files
        self._keep = keep
        self._add_hashes = add_hashes
        self._extra_entries = extra_entries
        self._models = models
        self.abandon = abandon
        self.followed: Callable[[str, int, str], None] = lambda job, image, result: None
        self.job_ended = job_ended
        self._tasks: queue.Queue[Callable[[], None] | None] = queue.Queue(MOST_WAITING)
        self._work: dict[str, _Work] = {}
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def close(self) -> None:
        """Finishes what was given and ends the thread."""
        self._tasks.put(None)
        self._thread.join()

    def do(self, task: Callable[[], None]) -> None:
        """Anything else that must keep the order, such as a thumbnail to be encoded."""
        self._tasks.put(task)

    def begin(self, job: Job, left: Iterable[int]) -> None:
        """A job's pictures will come; ends it at once when none is left."""
        self.do(lambda: self._begin(job, set(left)))

    def save(self, plan: ImagePlan, finished: RowFinished) -> None:
        """A picture is to be saved."""
        self.do(lambda: self._save(plan, finished))

    def failed(self, event: RowFailed) -> None:
        """A picture could not be made."""
        self.do(lambda: self._failed(event))

    def dropped(self, job: str, image: int) -> None:
        """A picture will not come."""
        self.do(lambda: self._settle(job, image, "dropped"))

    def fail(self, job: str, error: EaselError) -> None:
        """A job as a whole cannot go on."""
        self.do(lambda: self._fail(job, error))

    def _run(self) -> None:
        clear_at = time.monotonic()
        while True:
            if time.monotonic() >= clear_at:
                self._try(lambda: self._files.clear_unsaved(datetime.now() - KEPT_UNSAVED))
                clear_at = time.monotonic() + CLEARED_EVERY
            try:
                task = self._tasks.get(timeout=CLEARED_EVERY)
            except queue.Empty:
                continue
            if task is None:
                return
            self._try(task)

    @staticmethod
    def _try(task: Callable[[], None]) -> None:
        """Nothing may end this thread: a job whose bookkeeping failed stays running and is taken up at the next
        start, the others go on."""
        try:
            task()
        except Exception:
            logger.exception("The writer could not carry out a task")

    def _begin(self, job: Job, left: set[int]) -> None:
        if left:
            self._work[job.id] = _Work(job, left)
        else:
            self._store.finish(job.id)
            self.job_ended(job.id)

    def _save(self, plan: ImagePlan, finished: RowFinished) -> None:
        work = self._work.get(plan.job)
        if work is None or plan.image not in work.left:
            return
        result = None
        try:
            if self._keep is not None and any(part.source == plan.image for part in work.job.resolved.parts):
                result = self._keep(finished)
            ready = self._saved(work, plan, finished, result)
        except EaselError as error:
            self._fail(plan.job, error)
            return
        except Exception as error:
            logger.exception("Picture %d of job %s could not be saved", plan.image, plan.job)
            self._fail(plan.job, UnexpectedFailure(f"The picture could not be saved: {error}."))
            return
        notices = [notice for notice in finished.notices if notice not in work.said]
        work.said.update(notices)
        told = [Notice(job=plan.job, code=code, text=text) for code, text in notices]
        self._settle(plan.job, plan.image, "saved", ready=ready, seconds=finished.seconds, notices=told)
        if result is not None:
            self.followed(plan.job, plan.image, result)

    def _saved(self, work: _Work, plan: ImagePlan, finished: RowFinished, result: str | None) -> ImageReady:
        if lacks_hashes(work.job.resolved):
            work.job = self._add_hashes(work.job)
        redrawn = plan.resolved.request.init_images
        plan = plan._replace(resolved=work.job.resolved.of_image(plan.image))
        if redrawn and not plan.resolved.request.init_images:
            plan = plan.redrawing(redrawn[0])
        networks = dict.fromkeys(use for one in plan.resolved.all_passes for use in one.networks)
        said = (*network_entries(tuple(networks)), *self._extra_entries(plan), *finished.facts)
        entries = picture_entries(plan, said, self._models)
        infotext = write_infotext(plan.resolved.request.prompt, plan.resolved.request.negative_prompt, entries)
        for path in self._files.names(plan, finished):
            ready = ImageReady(
                job=plan.job,
                index=plan.image,
                path=path,
                seed=plan.seed,
                variation_seed=plan.variation_seed,
                width=finished.width,
                height=finished.height,
                infotext=infotext,
                partial=finished.partial,
            )
            if not self._store.reserve(ready, result):
                continue
            try:
                self._files.write(path, finished, infotext)
                self._write_beside(path, finished, infotext)
                return ready
            except FileExistsError:
                self._store.give_back(plan.job, plan.image)
        raise CannotWrite("No file name is left for the picture.", hint="Empty the output folder or choose another.")

    def _write_beside(self, path: str, finished: RowFinished, infotext: str) -> None:
        """Steps on the way, under the picture's name and their own; one that stands there already stays."""
        place = PurePosixPath(path)
        for name, width, height, rgb in finished.beside:
            step = finished._replace(width=width, height=height, rgb=rgb)
            with suppress(FileExistsError):
                self._files.write(str(place.with_stem(f"{place.stem}-{name}")), step, infotext)

    def _failed(self, event: RowFailed) -> None:
        work = self._work.get(event.job)
        if work is None:
            return
        if work.problem is None:
            work.problem = Failed(job=event.job, code=event.code, message=event.message, field=event.field)
        text = f"Picture {event.image + 1}: {event.message}"
        alone = work.job.resolved.image_count == 1
        notices = [] if alone else [Notice(job=event.job, code=event.code, text=text)]
        self._settle(event.job, event.image, "failed", seconds=event.seconds, notices=notices)

    def _settle(
        self,
        job: str,
        image: int,
        outcome: Outcome,
        *,
        ready: ImageReady | None = None,
        seconds: float = 0.0,
        notices: Iterable[Notice] = (),
    ) -> None:
        work = self._work.get(job)
        if work is None or image not in work.left:
            return
        work.left.discard(image)
        last = not work.left
        if outcome == "dropped" and not last and self._store.stop_of(job):
            return  # a job asked to stop needs no record of each picture that will not come
        try:
            self._store.settle(
                job, image, outcome, ready=ready, seconds=seconds, notices=notices, last=last, problem=work.problem
            )
        except EaselError as error:
            self._fail(job, error)
            return
        if last:
            self._leave(job)

    def _fail(self, job: str, error: EaselError) -> None:
        logger.error("Job %s failed: %s", job, error)
        self.abandon(job)
        failed = Failed(job=job, code=error.code, message=str(error), field=error.field)
        try:
            self._store.end(job, failed)
        except EaselError:
            # The disk is so full that not even this can be stored: whoever waits is told all the same, and the next
            # start takes the job up again.
            logger.exception("The end of job %s could not be stored", job)
            self._store.announce(Told(None, failed))
        self._leave(job)

    def _leave(self, job: str) -> None:
        self._work.pop(job, None)
        self.job_ended(job)
