"""Watch: the events of one job in order, stored ones, then live, without gap or repetition.

One form blocks a thread, the other waits on an asyncio loop.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Protocol, Self

from app.jobs.bus import LIVE, Bus, Told


class Watchable(Protocol):
    """What can be over: a job, a training."""

    @property
    def over(self) -> bool:
        """True when nothing more will come of it."""
        ...


class EventStore(Protocol):
    """Where the events of jobs or of trainings are stored."""

    def get(self, id: str) -> Watchable:
        """Raises where there is none."""
        ...

    def events_after(self, job: str, after: int = 0, /) -> list[Told]:
        """The stored events with ids above `after`."""
        ...


def _left(give_up: float | None) -> float | None:
    return None if give_up is None else max(give_up - time.monotonic(), 0.0)


class _Reader:
    """Joins what is stored with what arrives."""

    def __init__(
        self, store: EventStore, bus: Bus, job: str, after: int, wake: Callable[[], None], previews: bool
    ) -> None:
        self._store = store
        self._bus = bus
        self._job = job
        self._last = after
        self._replayed = False
        self.over = False
        self._mailbox = bus.open(job, wake, previews=previews)

    def read(self) -> list[Told]:
        """What is new. The first call replays; the mailbox was open before, so nothing falls in between."""
        news: list[Told] = []
        if not self._replayed:
            self._replayed = True
            over = self._store.get(self._job).over
            news = self._store.events_after(self._job, self._last)
            self._last = max([self._last, *(told.id for told in news if told.id is not None)])
            self.over = over
        for told in self._mailbox.take():
            if told.id is None:
                news.append(told)
            elif told.id > self._last:
                news.append(told)
                self._last = told.id
        if any(told.event.kind in ("finished", "failed") for told in news):
            self.over = True
            news = [told for told in news if told.event.kind not in LIVE]
        return news

    def close(self) -> None:
        self._bus.close(self._mailbox)


class Watch:
    """For threads: `with jobs.watch(id) as watch: while not watch.over: for told in watch.take(1.0): ...`"""

    def __init__(self, store: EventStore, bus: Bus, job: str, after: int, previews: bool) -> None:
        self._bell = threading.Event()
        self._bell.set()
        self._reader = _Reader(store, bus, job, after, self._bell.set, previews)

    @property
    def over(self) -> bool:
        """True once the last event was taken."""
        return self._reader.over

    def take(self, timeout: float | None = None) -> list[Told]:
        """The next events, waiting for up to `timeout` seconds; [] when that time has passed without any."""
        give_up = None if timeout is None else time.monotonic() + timeout
        news: list[Told] = []
        # The bell may still ring for what was read already.
        while not news and not self.over and self._bell.wait(_left(give_up)):
            self._bell.clear()
            news = self._reader.read()
        return news

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.close()


class AsyncWatch:
    """The same for an asyncio loop; made and used on it."""

    def __init__(self, store: EventStore, bus: Bus, job: str, after: int, previews: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._bell = asyncio.Event()
        self._bell.set()
        self._reader = _Reader(store, bus, job, after, self._ring, previews)

    @property
    def over(self) -> bool:
        """True once the last event was taken."""
        return self._reader.over

    async def take(self, timeout: float | None = None) -> list[Told]:
        """As `Watch.take`."""
        news: list[Told] = []
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not news and not self.over:
                    await self._bell.wait()
                    self._bell.clear()
                    news = self._reader.read()
        return news

    def _ring(self) -> None:
        with suppress(RuntimeError):  # the loop has closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._bell.set)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.close()
