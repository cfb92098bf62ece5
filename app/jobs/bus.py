"""Bus: carries the events of each job to whoever watches it, and keeps the latest progress.

Knows nothing of storage: state events come here after they were stored. Publishing never waits for a watcher.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from app.schema.events import Event, Preview, Progress, TrainingProgress

LIVE = ("progress", "preview", "training")
LOOK_LASTS = 5.0
"""Seconds for which one question for a job's preview counts as watching it."""


class Told(NamedTuple):
    """One event as a watcher gets it.

    id: of a stored state event; None for Progress and Preview, and for an end that a full disk did not let in.
    """

    id: int | None
    event: Event


class Mailbox:
    """What one watcher of a job has not read yet: every state event, but only the latest Progress and Preview."""

    def __init__(self, job: str, wake: Callable[[], None], *, previews: bool) -> None:
        self.job = job
        self.previews = previews
        self._wake = wake
        self._states: deque[Told] = deque()
        self._live: dict[str, Told] = {}

    def put(self, told: Told) -> None:
        """Adds an event and wakes the watcher."""
        if told.event.kind in LIVE:
            self._live[told.event.kind] = told
        else:
            self._states.append(told)
        self._wake()

    def take(self) -> list[Told]:
        """All that is unread: state events in order, then progress and preview."""
        unread = []
        while self._states:
            unread.append(self._states.popleft())
        for kind in LIVE:
            live = self._live.pop(kind, None)
            if live is not None:
                unread.append(live)
        return unread


class Bus:
    """One per process; every method may be called from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._mailboxes: dict[str, list[Mailbox]] = {}
        self._live: dict[str, dict[str, Told]] = {}
        self._looked: dict[str, float] = {}

    def publish(self, told: Told) -> None:
        """Hands an event to the mailboxes of its job; what is not stored is kept for late comers."""
        event = told.event
        with self._lock:
            if event.kind in ("finished", "failed"):
                self._live.pop(event.job, None)
                self._looked.pop(event.job, None)
            if told.id is None:
                self._live.setdefault(event.job, {})[event.kind] = told
            for mailbox in self._mailboxes.get(event.job, ()):
                mailbox.put(told)

    def open(self, job: str, wake: Callable[[], None], *, previews: bool = True) -> Mailbox:
        """A mailbox for the events of a job from now on, holding the latest Progress and Preview already.

        wake: called after each delivery, on the sender's thread; it must be quick. previews: False for a watcher
        that shows none, so that none are made for it.
        """
        mailbox = Mailbox(job, wake, previews=previews)
        with self._lock:
            for told in self._live.get(job, {}).values():
                mailbox.put(told)
            self._mailboxes.setdefault(job, []).append(mailbox)
        return mailbox

    def close(self, mailbox: Mailbox) -> None:
        """Ends the deliveries to a mailbox."""
        with self._lock:
            left = [other for other in self._mailboxes.get(mailbox.job, []) if other is not mailbox]
            if left:
                self._mailboxes[mailbox.job] = left
            else:
                self._mailboxes.pop(mailbox.job, None)

    def latest(self, job: str) -> tuple[Progress | None, Preview | None]:
        """The job's latest Progress and Preview, None for those there are not."""
        with self._lock:
            live = self._live.get(job, {})
            progress, preview = live.get("progress"), live.get("preview")
        return (
            progress.event if progress is not None and isinstance(progress.event, Progress) else None,
            preview.event if preview is not None and isinstance(preview.event, Preview) else None,
        )

    def latest_training(self, job: str) -> TrainingProgress | None:
        """The latest figures of a training, None where there are none."""
        with self._lock:
            told = self._live.get(job, {}).get("training")
        return told.event if told is not None and isinstance(told.event, TrainingProgress) else None

    def look(self, job: str) -> None:
        """Somebody asked for the job's preview just now: one who asks again and again is as good as a watcher."""
        with self._lock:
            self._looked[job] = self._clock()

    def watched(self, job: str) -> bool:
        """True while somebody wants to see previews of the job."""
        with self._lock:
            if any(mailbox.previews for mailbox in self._mailboxes.get(job, ())):
                return True
            looked = self._looked.get(job)
        return looked is not None and self._clock() - looked < LOOK_LASTS
