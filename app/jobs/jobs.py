"""Jobs: the one door to jobs for the page, the API and the command line.

Submits, answers, stops and lets watch. Every method may be called from any thread. `owner` narrows to one person's
jobs; None sees all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from app.jobs.bus import Bus, Told
from app.jobs.engine import Engine
from app.jobs.job import Job
from app.jobs.store import QueueEntry, Store
from app.jobs.watch import AsyncWatch, Watch
from app.jobs.worker import ModelOrder, Order, Worker
from app.schema.errors import JobNotFound, PictureNotFound
from app.schema.events import Failed, Preview, Progress
from app.schema.memory import ModelMemory
from app.schema.request import GenerationRequest, ResolvedRequest

T = TypeVar("T")
Resolve = Callable[[GenerationRequest], ResolvedRequest]


class Jobs:
    """folder: the data folder, to which the paths of pictures are relative. submitted: told each new job's request."""

    def __init__(
        self,
        folder: Path,
        store: Store,
        bus: Bus,
        worker: Worker,
        resolve: Resolve,
        submitted: Callable[[ResolvedRequest], None] = lambda resolved: None,
    ) -> None:
        self._folder = folder
        self._store = store
        self._bus = bus
        self._worker = worker
        self._resolve = resolve
        self._submitted = submitted

    def submit(self, request: GenerationRequest, owner: str) -> Job:
        """Stores the request with all that could drift resolved; it is on the disk when this returns.

        Raises UnknownChoice, ModelNotFound and the like for names that mean nothing, DiskFull or CannotWrite.
        """
        job = self._store.add(owner, request, self._resolve(request))
        self._worker.wake()
        self._submitted(job.resolved)
        return job

    def get(self, id: str, owner: str | None = None) -> Job:
        """Raises JobNotFound when there is none or it is someone else's, NewerVersion for a newer program's."""
        job = self._store.get(id)
        if owner is not None and job.owner != owner:
            raise JobNotFound(f"There is no job '{id[:40]}'.")
        return job

    def history(self, owner: str | None, limit: int = 50) -> list[Job]:
        """The newest jobs first."""
        return self._store.history(owner, limit)

    def queue(self) -> list[QueueEntry]:
        """Jobs in work and waiting, in the order of submission."""
        return self._store.queue()

    def oldest_running(self, owner: str | None) -> str | None:
        """The job that A1111's routes mean, which carry no id; None when nothing runs."""
        return self._store.oldest_running(owner)

    def cancel(self, id: str, owner: str | None = None) -> None:
        """Ends a job; its pictures in flight are dropped, those saved stay. A job that is over stays as it is."""
        self.get(id, owner)
        if self._store.ask_to_stop(id, "cancel") == "running":
            self._worker.order(Order("cancel", id))

    def interrupt(self, id: str, owner: str | None = None) -> None:
        """Ends a job with its pictures in flight as they are; a job that waits is cancelled."""
        self.get(id, owner)
        if self._store.ask_to_stop(id, "interrupt") == "running":
            self._worker.order(Order("interrupt", id))

    def stopping(self, id: str) -> bool:
        """Whether the job was asked to end before its last picture (interrupted or cancelled)."""
        return bool(self._store.stop_of(id))

    def skip(self, id: str, owner: str | None = None) -> None:
        """Ends the pictures in flight as they are; the job goes on with the next."""
        self.get(id, owner)
        self._worker.order(Order("skip", id))

    def watch(self, id: str, after: int = 0, *, owner: str | None = None, previews: bool = True) -> Watch:
        """The job's events with ids above `after`, then live ones. previews: False for one who shows none."""
        self.get(id, owner)
        return Watch(self._store, self._bus, id, after, previews)

    def watch_async(self, id: str, after: int = 0, *, owner: str | None = None, previews: bool = True) -> AsyncWatch:
        """The same for an asyncio loop."""
        self.get(id, owner)
        return AsyncWatch(self._store, self._bus, id, after, previews)

    def events(
        self, id: str, after: int = 0, *, owner: str | None = None, timeout: float | None = None
    ) -> Iterator[Told]:
        """All events to the last one, blocking in between. Raises TimeoutError after `timeout` seconds of silence."""
        with self.watch(id, after, owner=owner) as watch:
            while not watch.over:
                news = watch.take(timeout)
                if not news and not watch.over:
                    raise TimeoutError(f"Job {id} has been silent for {timeout} seconds")
                yield from news

    def stored_events(self, id: str, after: int = 0, *, owner: str | None = None) -> list[Told]:
        """What has been told so far, without waiting."""
        self.get(id, owner)
        return self._store.events_after(id, after)

    def wait(self, id: str, timeout: float | None = None, *, owner: str | None = None) -> Job:
        """The job once it is over, or as it is after `timeout` seconds."""
        give_up = None if timeout is None else time.monotonic() + timeout
        last: list[Told] = []
        with self.watch(id, owner=owner, previews=False) as watch:
            while not watch.over:
                left = None if give_up is None else give_up - time.monotonic()
                if left is not None and left <= 0:
                    break
                last = watch.take(left) or last
        return self._with_unstored_end(self._store.get(id), last)

    async def wait_async(self, id: str, *, owner: str | None = None) -> Job:
        """The job once it is over."""
        last: list[Told] = []
        with self.watch_async(id, owner=owner, previews=False) as watch:
            while not watch.over:
                last = await watch.take() or last
        return self._with_unstored_end(self._store.get(id), last)

    def latest(self, id: str) -> tuple[Progress | None, Preview | None]:
        """The latest Progress and Preview of a running job; asking is watching: previews are made for a while."""
        self._bus.look(id)
        return self._bus.latest(id)

    def progress(self, id: str) -> Progress | None:
        """The latest Progress alone, which costs nobody a preview."""
        return self._bus.latest(id)[0]

    def models_in_memory(self) -> ModelMemory:
        """Which models are in memory, on which tier, and what they take; as after the last group of work."""
        return self._worker.memory

    def unload(self, path: str | None = None) -> None:
        """Drops the models of a file from memory, pinned or not; without a path all that are not pinned.

        Returns at once, as the next three do: the engine obeys after the group that runs now. Jobs in work load again
        what they need.
        """
        self._worker.order(ModelOrder("unload", path))

    def reload(self) -> None:
        """Loads the model used last again, if it was unloaded."""
        self._worker.order(ModelOrder("reload"))

    def pin(self, path: str) -> None:
        """The models of a file (`ModelInMemory.path`, `ModelFile.path`) stay in memory once they are there."""
        self._worker.order(ModelOrder("pin", path))

    def unpin(self, path: str) -> None:
        """They go when their turn comes."""
        self._worker.order(ModelOrder("unpin", path))

    def ask(self, act: Callable[[Engine], T]) -> Future[T]:
        """Has something done with the engine on its own thread, between two groups of work.

        The answer is cancelled when the program ends before its turn.
        """
        return self._worker.ask(act)

    def image_file(self, id: str, index: int, owner: str | None = None) -> Path:
        """The file of a saved picture. Raises PictureNotFound when it was not made or is gone."""
        job = self.get(id, owner)
        path = next((self._folder / image.path for image in job.images if image.index == index), None)
        if path is None:
            raise PictureNotFound(f"Job {id} has no picture {index}.")
        if not path.is_file():
            raise PictureNotFound(
                f"The file of picture {index} of job {id} is gone.",
                hint="Pictures that are not saved are kept for a day; others were moved or deleted.",
            )
        return path

    @staticmethod
    def _with_unstored_end(job: Job, last: list[Told]) -> Job:
        """On a full disk an end may have been told that could not be stored."""
        failed = next((told.event for told in last if isinstance(told.event, Failed)), None)
        return job if job.over or failed is None else replace(job, state="failed", error=failed)
