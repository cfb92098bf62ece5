"""TrainingLane: trainings one after the other: begun, followed by their logs, begun again when killed, and ended.

After a restart of the program it takes up the one that runs, alive or not, and the device with it. Imports no torch.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from app.files.run_folder import RunFolder
from app.files.run_log import Entry
from app.jobs.bus import Bus, Told
from app.jobs.lease import DeviceLease
from app.jobs.training import Training
from app.jobs.training_meter import TrainingMeter
from app.jobs.training_process import StartChild, TrainingProcess
from app.jobs.training_store import TrainingStore
from app.schema.errors import Quarantined, TrainingProblem, UnexpectedFailure
from app.schema.events import Failed, Finished, Notice, SampleReady, TrainingMade
from app.schema.training_run import TrainingState

logger = logging.getLogger(__name__)

MOST_DEATHS = 3
GRACE = 10.0
"""Seconds that a cancelled training has for its step, before its process is ended."""


class TrainingLane:
    """data: the data folder, to which run folders are relative. untrained: whether the lane is for files that are only
    created, or for all other trainings. lease: None where they share the device with whoever has it.

    wake_pictures: rings the worker of pictures, which has to look at the lease. arrived: a file has come into a model
    folder.
    """

    def __init__(
        self,
        data: Path,
        store: TrainingStore,
        bus: Bus,
        start_child: StartChild,
        *,
        untrained: bool = False,
        lease: DeviceLease | None = None,
        wake_pictures: Callable[[], None] = lambda: None,
        arrived: Callable[[Path], None] = lambda path: None,
        failed: Callable[[Training, str], None] = lambda training, text: None,
        grace: float = GRACE,
    ) -> None:
        self._data = data
        self._store = store
        self._bus = bus
        self._start_child = start_child
        self._untrained = untrained
        self._lease = lease or DeviceLease()
        self._wake_pictures = wake_pictures
        self._arrived = arrived
        self._failed = failed
        self._grace = grace
        self._current: TrainingProcess | None = None
        self._id = ""
        self._meter = TrainingMeter("", 0)
        self._lent = False
        self._begun_to_stop = False
        self._cancelled_at: float | None = None
        self._samples: set[str] = set()
        self._made = False

    def hold_device(self) -> None:
        """A training that the last program left running has the device; before anything else does."""
        if self._first("running") is not None:
            self._lease.hold()

    def turn(self) -> bool:
        """One look; False when there is nothing to do until somebody rings."""
        if self._current is None:
            running = self._first("running")
            if running is None:
                return self._begin_next()
            self._take_up(running)
            self._lent = not self._lease.take()
            self._wake_pictures()  # which were kept from a device that may be one that both can have at once
        assert self._current is not None
        training = self._store.get(self._id)
        alive = self._current.alive  # before the log is read, so that nothing is written in between
        for entry in self._current.news():
            self._hear(entry)
        if alive:
            self._steer(training)
        else:
            self._ended(training)
        return True

    def _begin_next(self) -> bool:
        training = self._first("queued")
        if training is None:
            self._lease.give_back()
            return False
        if not self._lease.take():
            self._tell_waiting(training)
            self._wake_pictures()
            return True
        if self._store.begin(training.id):
            self._take_up(self._store.get(training.id))
            self._start(training)
        return True

    def _first(self, state: TrainingState) -> Training | None:
        """The oldest of the lane's trainings in a state."""
        found = self._store.in_state((state,))
        return next((one for one in found if one.run.untrained == self._untrained), None)

    def _take_up(self, training: Training) -> None:
        """Follows a run from its log's beginning; what its watchers know already is not told again."""
        folder = RunFolder(self._data / training.folder)
        folder.create(training.run)
        self._current = TrainingProcess(folder, training.started or 0.0)
        self._id = training.id
        self._meter = TrainingMeter(training.id, training.run.request.steps)
        self._samples = {sample.name for sample in training.samples}
        self._made = training.made is not None
        self._lent = self._begun_to_stop = False
        self._cancelled_at = None

    def _start(self, training: Training) -> None:
        assert self._current is not None
        self._begun_to_stop = training.wish == "stop"
        self._current.wish("stop" if self._begun_to_stop else "go")
        for entry in self._current.news():  # so that how an earlier process ended is not taken for this one's end
            self._hear(entry)
        self._tell(self._meter.phase("Starting"))
        try:
            self._current.start(self._start_child)
        except OSError as problem:
            error = UnexpectedFailure(f"The training could not be started: {problem}.", hint="The log says more.")
            self._end(Failed(job=training.id, code=error.code, message=str(error)))

    def _steer(self, training: Training) -> None:
        """Sees to it that a living process knows what is wanted."""
        assert self._current is not None
        if training.wish == "cancel":
            now = time.monotonic()
            self._cancelled_at = self._cancelled_at or now
            self._current.wish("pause")
            if now - self._cancelled_at > self._grace:
                self._current.kill()
        elif training.wish == "go" and (self._lent or self._lease.wanted_back()):
            self._lent = True
            self._current.wish("pause")
            self._tell(self._meter.phase("Making way for a picture"))
        else:
            self._current.wish(training.wish)

    def _ended(self, training: Training) -> None:
        """Nobody works on the run any more: by its own word, or by a death."""
        assert self._current is not None
        ending = self._current.ending
        if ending is not None and ending["kind"] == "done":
            self._end(Finished(job=training.id, state="done", seconds=self._meter.seconds))
        elif training.wish == "cancel":
            self._end(Finished(job=training.id, state="cancelled", seconds=self._meter.seconds))
        elif ending is not None and ending["kind"] == "failed":
            code, text = str(ending.get("code", "error")), str(ending.get("message", "It failed."))
            self._end(Failed(job=training.id, code=code, message=text, field=ending.get("field")))
            self._failed(training, text)
        elif training.wish == "pause":
            self._rest(training, "paused")
        elif ending is not None and training.wish == "stop" and self._begun_to_stop:
            problem = TrainingProblem("It was stopped, and its process ended without a file.", hint="It can go on.")
            self._end(Failed(job=training.id, code=problem.code, message=str(problem)))
        elif ending is not None:
            self._rest(training, "queued")
        else:
            self._died(training)

    def _died(self, training: Training) -> None:
        assert self._current is not None
        deaths = self._store.count_death(training.id, self._meter.step)
        if deaths >= MOST_DEATHS:
            error = Quarantined(
                f"The training's process ended {deaths} times in a row at step {self._meter.step + 1}.",
                hint=f"Last lines of its output:\n{self._current.folder.last_words()}",
            )
            self._end(Failed(job=training.id, code=error.code, message=str(error)))
            return
        logger.warning("The process of training %s was gone at step %d; it goes on", training.id, self._meter.step)
        text = "The training's process was gone; it goes on from its last snapshot."
        self._store.tell(Notice(job=training.id, code="resumed", text=text))
        if self._lent or not self._lease.take():
            self._rest(training, "queued")
        else:
            self._start(training)

    def _rest(self, training: Training, state: str) -> None:
        self._store.rest(training.id, "paused" if state == "paused" else "queued")
        self._tell(self._meter.resting(state))
        self._leave()

    def _end(self, event: Finished | Failed) -> None:
        self._store.end(event.job, event)
        self._leave()

    def _leave(self) -> None:
        self._current = None
        self._lease.give_back()
        self._wake_pictures()

    def _hear(self, entry: Entry) -> None:
        """One line of the log, as an event. A run that was taken up tells its old lines again; they are known."""
        kind = entry["kind"]
        if kind == "sample" and entry["name"] not in self._samples:
            self._samples.add(entry["name"])
            self._store.tell(
                SampleReady(job=self._id, name=entry["name"], step=entry["step"], prompt=entry.get("prompt", ""))
            )
        elif kind == "notice" and not self._knows(entry):
            self._store.tell(Notice(job=self._id, code=entry["code"], text=entry["text"]))
        elif kind == "made" and not self._made:
            self._made = True
            path = Path(entry["path"])
            self._arrived(path)
            self._store.tell(TrainingMade(job=self._id, path=str(path), name=path.stem))
        self._tell(self._meter.heard(entry))

    def _knows(self, entry: Entry) -> bool:
        told = self._store.events_after(self._id)
        return any(isinstance(one.event, Notice) and one.event.text == entry["text"] for one in told)

    def _tell_waiting(self, training: Training) -> None:
        self._tell(TrainingMeter(training.id, training.run.request.steps).resting("queued"))

    def _tell(self, event: object) -> None:
        if event is not None:
            self._bus.publish(Told(None, event))  # type: ignore[arg-type]
