"""Worker: the one thread that owns the engine; claims jobs, feeds it, hands on what comes of it.

Gives each owner a place, so that owners interleave and nobody's batch blocks another's picture. Imports no torch:
the engine comes from a factory.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple, TypeVar

from app.jobs.bus import Bus, Told
from app.jobs.engine import Engine, MakeEngine
from app.jobs.expand import expand
from app.jobs.inflight import Inflight
from app.jobs.job import Job
from app.jobs.lease import DeviceLease
from app.jobs.preview import preview_event
from app.jobs.progress import ProgressMeter
from app.jobs.store import Outcome, Store
from app.jobs.writer import Writer
from app.schema.errors import EaselError, UnexpectedFailure
from app.schema.events import (
    Failed,
    ModelLoading,
    Progress,
    RowAdvanced,
    RowDropped,
    RowEvent,
    RowFailed,
    RowFinished,
    RowPreviewed,
)
from app.schema.memory import ModelMemory
from app.schema.request import ImagePlan

logger = logging.getLogger(__name__)

T = TypeVar("T")

MOST_OWNERS = 4
RETRY = 5.0
"""Seconds until the job table is read again after it could not be (a full disk)."""


class Order(NamedTuple):
    """What the engine's thread is asked to do to a running job between two groups."""

    what: Literal["skip", "interrupt", "cancel"]
    job: str


class ModelOrder(NamedTuple):
    """What the engine's thread is asked to do with models between two groups. path: of a file, None for all."""

    what: Literal["unload", "reload", "pin", "unpin"]
    path: str | None = None


class Follow(NamedTuple):
    """A picture of a running job is saved, and those may begin that redraw it. result: hash of its pixels."""

    job: str
    image: int
    result: str


class Errand(NamedTuple):
    """What the engine's thread is asked to do with the engine between two groups, for somebody who waits."""

    act: Callable[[Engine], Any]
    answer: Future[Any]


@dataclass
class _Running:
    """A job whose pictures the engine has. left: their numbers and plans. waiting: of these, those that the engine has
    not, since the picture that they redraw is not saved yet."""

    job: Job
    left: dict[int, ImagePlan]
    meter: ProgressMeter
    waiting: dict[int, ImagePlan] = field(default_factory=dict)


class Worker:
    """make_engine is called on the worker's thread, with the function to call before each group, at the first job or
    at `warm_up`, and again after an engine that broke down."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        writer: Writer,
        inflight: Inflight,
        make_engine: MakeEngine,
        *,
        lease: DeviceLease | None = None,
        most_owners: int = MOST_OWNERS,
    ) -> None:
        self._store = store
        self._bus = bus
        self._writer = writer
        self._inflight = inflight
        self._make_engine = make_engine
        self._lease = lease or DeviceLease()
        self._most_owners = most_owners
        self._engine: Engine | None = None
        self._running: dict[str, _Running] = {}
        self._orders: deque[Order | ModelOrder | Follow] = deque()
        self._errands: deque[Errand] = deque()
        self._pinned: dict[str, None] = {}
        self._memory = ModelMemory()
        self._bell = threading.Event()
        self._look_for_jobs = True
        self._warm = False
        self._loading = False
        self._closing = False
        self._ended = False
        self._watched: set[str] = set()
        self._last_served: dict[str, int] = {}
        self._served = 0
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        writer.abandon = lambda job: self.order(Order("cancel", job))
        writer.followed = lambda job, image, result: self.order(Follow(job, image, result))

    def start(self) -> None:
        """Starts the thread."""
        self._writer.start()
        self._thread.start()

    def warm_up(self) -> None:
        """Makes the engine now, although no job waits for it."""
        self._warm = True
        self._bell.set()

    def wake(self) -> None:
        """There may be a new job."""
        self._bell.set()

    @property
    def memory(self) -> ModelMemory:
        """The models in memory as they were after the last group or order."""
        return self._memory

    def order(self, order: Order | ModelOrder | Follow) -> None:
        """Asks something of the engine's thread; carried out after the group that runs now."""
        self._orders.append(order)
        self._bell.set()

    def ask(self, act: Callable[[Engine], T]) -> Future[T]:
        """Has something done with the engine, which is made if need be; one errand between two groups, so that jobs and
        errands interleave. The answer is cancelled when the worker closes before its turn."""
        answer: Future[T] = Future()
        self._errands.append(Errand(act, answer))
        self._bell.set()
        if self._ended:
            self._drop_errands()
        return answer

    def close(self) -> None:
        """Ends after the group that runs now; jobs that are not over go on at the next start."""
        self._closing = True
        self._bell.set()
        self._thread.join()
        self._writer.close()
        self._inflight.close()

    def _run(self) -> None:
        while not self._closing:
            if self._bell.is_set():
                self._bell.clear()
                self._look_for_jobs = True
            patience: float | None = None
            try:
                busy = self._turn()
            except Exception:
                logger.exception("The worker could not begin a job; it tries again soon")
                busy, patience = False, RETRY
            if not busy:
                self._inflight.clear()
                self._bell.wait(patience)
                self._look_for_jobs = True
        self._ended = True
        self._drop_errands()
        if self._engine is not None:
            self._engine.close()

    def _turn(self) -> bool:
        """One round; False when there is nothing to do until somebody rings."""
        while self._orders:
            self._obey(self._orders.popleft())
        if not self._running and self._lease.due():
            if self._engine is not None:
                self._engine.lend()
                self._memory = self._engine.memory()
            self._lease.granted()
        if self._look_for_jobs:
            self._look_for_jobs = False
            self._claim_jobs()
        if self._errands and self._lease.may_draw():
            self._run_errand(self._errands.popleft())
            if self._errands:
                self._bell.set()
        if self._engine is None:
            if self._warm and not self._running:
                self._warm = False
                self._engine_made()
            return self._look_for_jobs
        if self._engine.idle:
            return self._look_for_jobs
        self._watch()
        try:
            events = self._engine.step()
        except Exception as error:
            logger.exception("The engine broke down")
            self._break_down(UnexpectedFailure(f"The engine broke down: {error}.", hint="The log says more."))
            return True
        self._lease.drawn()
        for event in events:
            self._take(event)
        self._memory = self._engine.memory()
        return True

    def _run_errand(self, errand: Errand) -> None:
        if not errand.answer.set_running_or_notify_cancel():
            return
        try:
            errand.answer.set_result(errand.act(self._engine_made()))
        except Exception as error:  # noqa: BLE001 - it is told to whoever waits for the answer
            errand.answer.set_exception(error)

    def _drop_errands(self) -> None:
        while self._errands:
            self._errands.popleft().answer.cancel()

    def _obey(self, order: Order | ModelOrder | Follow) -> None:
        if isinstance(order, ModelOrder):
            self._obey_model_order(order)
            return
        if self._engine is None or order.job not in self._running:
            return
        if isinstance(order, Follow):
            self._follow(self._running[order.job], order)
            return
        if order.what != "skip":
            self._drop_waiting(self._running[order.job])
        act = {"skip": self._engine.skip, "interrupt": self._engine.interrupt, "cancel": self._engine.cancel}
        act[order.what](order.job)

    def _follow(self, running: _Running, order: Follow) -> None:
        """Gives the engine the pictures that were waiting for one that is saved now."""
        assert self._engine is not None
        for plan in [plan for plan in running.waiting.values() if plan.source == order.image]:
            del running.waiting[plan.image]
            running.left[plan.image] = plan.redrawing(order.result)
            self._engine.submit(running.left[plan.image])

    def _drop_waiting(self, running: _Running, source: int | None = None) -> None:
        """The pictures that wait will not come: those that follow from `source`, near or far, or all for None."""
        gone = {source}
        for plan in [*running.waiting.values()]:
            if source is None or plan.source in gone:
                gone.add(plan.image)
                del running.waiting[plan.image], running.left[plan.image]
                self._writer.dropped(plan.job, plan.image)
        if not running.left:
            self._leave(running.job.id)

    def _obey_model_order(self, order: ModelOrder) -> None:
        """Pins outlive an engine and may come before the first; the rest concerns what is in memory now."""
        if order.what == "pin" and order.path is not None:
            self._pinned[order.path] = None
        elif order.what == "unpin" and order.path is not None:
            self._pinned.pop(order.path, None)
        if self._engine is None:
            return
        try:
            match order:
                case ModelOrder("pin", str(path)):
                    self._engine.pin(path)
                case ModelOrder("unpin", str(path)):
                    self._engine.unpin(path)
                case ModelOrder("unload", path):
                    self._engine.unload(path)
                case ModelOrder("reload"):
                    self._engine.reload()
        except EaselError as error:
            logger.warning("The models in memory could not be changed (%s): %s", order.what, error)
        self._memory = self._engine.memory()

    def _claim_jobs(self) -> None:
        """Fills the places: of the owners without one, the one served longest ago comes first."""
        while len(self._running) < self._most_owners:
            owners = {running.job.owner for running in self._running.values()}
            queued = self._store.oldest_queued(owners)
            if not queued or not self._lease.may_draw():
                return
            id, owner = min(queued, key=lambda entry: self._last_served.get(entry[1], -1))
            self._served += 1
            self._last_served[owner] = self._served
            if self._store.claim(id):
                self._begin(id)

    def _begin(self, id: str) -> None:
        try:
            job = self._store.get(id)
            settled = self._store.settled(id)
        except EaselError as error:
            self._store.end(id, Failed(job=id, code=error.code, message=str(error), field=error.field))
            return
        except (ValueError, KeyError, TypeError) as error:
            logger.exception("Job %s cannot be read", id)
            text = f"The stored job is damaged: {type(error).__name__}: {error}"
            self._store.end(id, Failed(job=id, state="lost", code="unreadable_job", message=text))
            return
        plans = expand(id, job.owner, job.resolved, settled)
        self._writer.begin(job, [plan.image for plan in plans])
        meter = ProgressMeter(id, job.resolved.image_count, job.resolved.request.steps, ended=len(settled))
        running = self._running[id] = _Running(job, {plan.image: plan for plan in plans}, meter)
        self._tell(meter.waiting("Starting"))
        try:
            engine = self._engine_made()
            for plan in plans:
                if plan.source is None:
                    engine.submit(plan)
                else:
                    running.waiting[plan.image] = plan
            for image, outcome in settled.items():
                self._go_on_from(running, image, outcome)
        except EaselError as error:
            self._writer.fail(id, error)
        except Exception as error:
            logger.exception("Job %s could not be started", id)
            self._writer.fail(id, UnexpectedFailure(f"{type(error).__name__}: {error}", hint="The log says more."))
        else:
            if plans:
                return
        self._leave(id)

    def _go_on_from(self, running: _Running, image: int, outcome: Outcome) -> None:
        """What follows from a picture that an earlier process has settled begins now, or will not come."""
        result = self._store.result_of(running.job.id, image) if outcome == "saved" else None
        if result is not None:
            self._follow(running, Follow(running.job.id, image, result))
        else:
            self._drop_waiting(running, image)

    def _engine_made(self) -> Engine:
        if self._engine is None:
            self._engine = self._make_engine(self._before_group)
            self._engine.listen(self._take)
            for path in self._pinned:
                self._engine.pin(path)
            self._memory = self._engine.memory()
        return self._engine

    def _before_group(self, rows: list[tuple[str, int, int]]) -> None:
        self._inflight.before_group(rows, self._loading)
        self._loading = False

    def _break_down(self, error: EaselError) -> None:
        """Fails the jobs that the engine had, and forgets the engine: the next job gets a new one."""
        broken, self._engine = self._engine, None
        self._memory = ModelMemory()
        for id in list(self._running):
            self._writer.fail(id, error)
            self._leave(id)
        try:
            if broken is not None:
                broken.close()
        except Exception:
            logger.exception("The broken engine could not be closed")

    def _watch(self) -> None:
        watched = {id for id in self._running if self._bus.watched(id)}
        if self._engine is not None and watched != self._watched:
            self._watched = watched
            self._engine.watch(watched)

    def _take(self, event: RowEvent) -> None:
        if isinstance(event, ModelLoading):
            # With bytes it is told from inside the load, whose group has been written down as loading already.
            self._loading = self._loading or event.loading is None
            for id in event.jobs:
                if id in self._running:
                    self._tell(self._running[id].meter.waiting(event.phase, event.loading))
            return
        running = self._running.get(event.job)
        if running is None:
            return
        match event:
            case RowAdvanced():
                self._tell(running.meter.advanced(event))
            case RowPreviewed():
                self._writer.do(partial(self._preview, event))
            case RowFinished():
                self._tell(running.meter.finished(event.image))
                self._writer.save(running.left[event.image], event)
            case RowFailed():
                self._writer.failed(event)
            case RowDropped():
                self._writer.dropped(event.job, event.image)
        if isinstance(event, RowFinished | RowFailed | RowDropped):
            del running.left[event.image]
            if not isinstance(event, RowFinished):
                self._drop_waiting(running, event.image)
            if not running.left:
                self._leave(event.job)

    def _preview(self, event: RowPreviewed) -> None:
        self._bus.publish(Told(None, preview_event(event)))

    def _leave(self, id: str) -> None:
        """The engine has nothing of this job any more: its place is free."""
        self._running.pop(id, None)
        self._look_for_jobs = True

    def _tell(self, progress: Progress | None) -> None:
        if progress is not None:
            self._bus.publish(Told(None, progress))
