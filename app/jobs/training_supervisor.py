"""TrainingSupervisor: the one thread that looks after trainings: one at a time, and beside it files only created.

What is done about each is its lane's. Imports no torch.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from app.jobs.bus import Bus
from app.jobs.lease import DeviceLease
from app.jobs.training import Training
from app.jobs.training_lane import GRACE, TrainingLane
from app.jobs.training_process import StartChild
from app.jobs.training_store import TrainingStore

logger = logging.getLogger(__name__)

POLL = 0.25
"""Seconds between two looks at what runs."""


class TrainingSupervisor:
    """See `TrainingLane`. lease: of the trainings; a file that is only created needs no device."""

    def __init__(
        self,
        data: Path,
        store: TrainingStore,
        bus: Bus,
        start_child: StartChild,
        *,
        lease: DeviceLease | None = None,
        wake_pictures: Callable[[], None] = lambda: None,
        arrived: Callable[[Path], None] = lambda path: None,
        failed: Callable[[Training, str], None] = lambda training, text: None,
        poll: float = POLL,
        grace: float = GRACE,
    ) -> None:
        self.arrived = arrived
        self._poll = poll
        lane = partial(TrainingLane, data, store, bus, start_child, arrived=arrived, failed=failed, grace=grace)
        # Those that last seconds come first, since a training's first question about the device brings torch in.
        self._lanes = [lane(untrained=True), lane(lease=lease, wake_pictures=wake_pictures)]
        self._closing = threading.Event()
        self._bell = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trainings", daemon=True)

    def start(self) -> None:
        """Starts the thread. A training that the last program left running has the device when this returns."""
        for lane in self._lanes:
            lane.hold_device()
        self._thread.start()

    def wake(self) -> None:
        """Something new is wanted."""
        self._bell.set()

    def close(self) -> None:
        """Ends the thread; a training that runs goes on by itself."""
        self._closing.set()
        self._bell.set()
        self._thread.join()

    def _run(self) -> None:
        busy = self._lanes
        rung = True
        while not self._closing.is_set():
            self._bell.clear()
            busy = [lane for lane in (self._lanes if rung else busy) if self._turn(lane)]
            rung = self._bell.wait(self._poll if busy else None)

    @staticmethod
    def _turn(lane: TrainingLane) -> bool:
        try:
            return lane.turn()
        except Exception:
            logger.exception("The trainings could not be looked after; it is tried again soon")
            return True
