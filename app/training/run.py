"""Run: carries a run folder out from wherever it stands, until its file is in its model folder.

Knows the folder, its lock, wishes and log; what is learnt and how is the trainer's. The same call again goes on.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from app.files.free_space import require_free
from app.files.run_folder import RunFolder, Wish
from app.files.run_log import RunLog
from app.files.trained_file import placed
from app.schema.errors import EaselError, UnexpectedFailure
from app.schema.training_run import TrainingRun

logger = logging.getLogger(__name__)

DONE = 0
FAILED = 1
PAUSED = 3
BUSY = 4
"""Exit statuses of a training process."""
LEAST_ROOM = 64_000_000
"""Bytes that must be free on the drive of the run folder, before anything is known of the training's own need."""
_LOOK_EVERY = 0.2


class Trainer(Protocol):
    """What turns a run into a file."""

    def __call__(
        self, run: TrainingRun, folder: RunFolder, tell: Callable[..., None], wished: Callable[[], Wish]
    ) -> Path | None:
        """Learns, going on from the newest snapshot; the finished file in the outbox, None where it was paused.

        tell(kind, **values): a line of the log, see `run_log.Entry`. wished: asked after each step. On 'pause' a
        snapshot is written and nothing else; on 'stop' the file is made from what is learnt so far.
        Raises EaselError for what the user can mend.
        """
        ...


def carry_out(path: Path, trainer: Trainer) -> int:
    """One process's work on a run folder; its exit status. Raises TrainingBusy, TrainingProblem for no run folder."""
    folder = RunFolder(path)
    run = folder.run()
    lock = folder.lock()
    log = RunLog(folder.log)
    try:
        log.tell("begun", pid=os.getpid())
        return _carried_out(run, folder, log, trainer)
    except EaselError as problem:
        log.tell("failed", code=problem.code, message=str(problem), field=problem.field)
        logger.error("%s", problem)
        return FAILED
    except Exception as problem:
        logger.exception("The training broke down")
        text = f"{type(problem).__name__}: {problem}"
        known = UnexpectedFailure(text, hint="The run's output.log holds the traceback.")
        log.tell("failed", code=known.code, message=str(known), field=None)
        return FAILED
    finally:
        log.close()
        lock.release()


def help_out(path: Path, trainer: Trainer) -> int:
    """The work of a process that helps the one which carries the folder out; it tells nothing and writes nothing."""
    folder = RunFolder(path)
    with _signals():  # whoever is asked to end is the first one; it takes the others with it
        trainer(folder.run(), folder, lambda kind, **values: None, lambda: "go")
    return DONE


def _carried_out(run: TrainingRun, folder: RunFolder, log: RunLog, trainer: Trainer) -> int:
    require_free({folder.path: LEAST_ROOM}, "The training", "Free some space on that drive and go on.")
    if folder.wished() == "pause":
        folder.wish("go")  # whoever starts a run wants it to go on; who still wants it to rest says so again
    with _signals() as stopped:
        wished = Wishes(folder, stopped)
        made = trainer(run, folder, log.tell, wished)
    if made is None:
        log.tell("paused")
        return PAUSED
    path = placed(made, run, folder.sample_of(), folder.results().values())
    log.tell("made", path=str(path))
    log.tell("done")
    return DONE


class Wishes:
    """What is wanted of the run: by a signal, or by the run folder, which is looked at a few times a second."""

    def __init__(self, folder: RunFolder, stopped: threading.Event) -> None:
        self._folder = folder
        self._stopped = stopped
        self._looked = -1.0
        self._last: Wish = "go"

    def __call__(self) -> Wish:
        """'go', 'pause' or 'stop'."""
        if self._stopped.is_set():
            return "pause"
        now = time.monotonic()
        if self._looked < 0 or now - self._looked >= _LOOK_EVERY:
            self._looked = now
            self._last = self._folder.wished()
        return self._last


@contextmanager
def _signals() -> Iterator[threading.Event]:
    """Set once the process is asked to end: Ctrl+C, or a shutdown. Ends the step in work, not the process."""
    asked = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        asked.set()

    if threading.current_thread() is not threading.main_thread():
        yield asked  # signals reach the main thread alone
        return
    before: dict[int, Any] = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
