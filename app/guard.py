"""Guard: runs what extensions do for a job; what raises or hangs marks its extension and fails that job, in words.

Knows no hook and no torch. Nothing can end a thread from outside: one that hangs stays until the program ends.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Collection, Generator, Sequence
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

from app.schema.errors import EaselError, ExtensionFailed

logger = logging.getLogger(__name__)

T = TypeVar("T")
Tell = Callable[[int, int], None]
"""Is told what is done, and of how much."""

JOB_SECONDS = 60.0
"""How long an extension may take at a time while a job waits for it."""
INNER_SHARE = 0.9
"""Of the outer one's patience: of two that wait for one another the one that hangs is given up, not the one around."""

_deep = threading.local()


class TookTooLong(Exception):
    """Foreign code that did not come back in time; the text says where it was."""


class Guard:
    """marked: is told of an extension that did wrong, and its traceback. One that hung is not asked again.

    trusted: extensions that come with the program: they take as long as they need, on the caller's own thread.
    seconds: see JOB_SECONDS.
    """

    def __init__(self, seconds: float = JOB_SECONDS, trusted: Collection[str] = ()) -> None:
        self.marked: Callable[[str, str], None] = lambda name, problem: None
        self._seconds = seconds
        self._trusted = frozenset(trusted)
        self._hung: set[str] = set()
        self._free: deque[_Hand] = deque()

    def has_hung(self, name: str) -> bool:
        """Whether this extension is not asked any more."""
        return name in self._hung

    def run(self, name: str, what: str, act: Callable[[], T], *, seconds: float | None = None) -> T:
        """What `act` returns. what: it is, in words such as "the sampler Midpoint".

        EaselErrors are words for the user and go through. Raises ExtensionFailed for all else, and for one that takes
        too long.
        """
        return self.try_out(name, what, act, (), seconds)

    def run_telling(
        self, name: str, what: str, act: Callable[[Tell], T], tell: Tell, seconds: float | None = None
    ) -> T:
        """As `run`, for what tells how far it is: the time begins anew each time. What `tell` raises goes through."""
        passing: list[BaseException] = []
        heard = _Heard()

        def told(done: int, total: int) -> None:
            heard.now()
            try:
                tell(done, total)
            except BaseException as error:
                passing.append(error)
                raise

        return self.try_out(name, what, lambda: act(told), passing, seconds, heard)

    def try_out(
        self,
        name: str,
        what: str,
        act: Callable[[], T],
        passing: Sequence[BaseException],
        seconds: float | None = None,
        heard: _Heard | None = None,
    ) -> T:
        """As `run`. passing: errors that are not the extension's own and go through, too. heard: when it was."""
        if name in self._hung:
            raise ExtensionFailed(
                f"{what[:1].upper()}{what[1:]} of the extension '{name}' hung before and is not asked again.",
                hint="Do without it, or start again once it is repaired.",
            )
        try:
            if name in self._trusted:
                return act()
            return self._within(self._seconds if seconds is None else seconds, act, heard or _Heard())
        except EaselError:
            raise
        except (Exception, SystemExit) as error:
            if any(error is one for one in passing):
                raise
            logger.exception("%s failed in %s", name, what)
            self.marked(name, f"In {what}:\n{traceback.format_exc()}")
            if isinstance(error, TookTooLong):
                self._hung.add(name)
            late = isinstance(error, TookTooLong)
            words = "it did not come back in time" if late else f"{type(error).__name__}: {error}"
            raise ExtensionFailed(
                f"{what[:1].upper()}{what[1:]} of the extension '{name}' failed: {words}"[:500].rstrip(".") + ".",
                hint="The Extensions tab shows where.",
            ) from error

    def walk(
        self,
        name: str,
        what: str,
        begin: Callable[[], Generator[Any, Any, T]],
        passing: Sequence[BaseException] = (),
    ) -> Generator[Any, Any, T]:
        """A generator of an extension's, guarded at each of its steps; it may be closed and thrown into as itself.

        passing: as in `try_out`; the list is read anew at each error.
        """
        begun: list[Generator[Any, Any, T]] = []
        ended: list[T] = []

        def step(push: Callable[[Generator[Any, Any, T]], Any]) -> Any:
            if not begun:
                begun.append(begin())
            try:
                return push(begun[0])
            except StopIteration as stop:
                ended.append(stop.value)
                return None

        push: Callable[[Generator[Any, Any, T]], Any] = next
        while True:
            wanted = self.try_out(name, what, partial(step, push), passing)
            if ended:
                return ended[0]
            try:
                answer = yield wanted
            except GeneratorExit:
                self.try_out(name, what, begun[0].close, passing)
                raise
            except Exception as error:  # noqa: BLE001 - it is thrown in where it belongs
                push = partial(_throw, error)
                passing = _with(passing, error)
            else:
                push = partial(_send, answer)

    def _within(self, seconds: float, act: Callable[[], T], heard: _Heard) -> T:
        """On a thread that is kept for the next time: a new one each time would be slow for torch."""
        depth: int = getattr(_deep, "level", 0)
        try:
            hand = self._free.pop()
        except IndexError:
            hand = _Hand()
        answer = hand.give(act, depth + 1)
        patience = seconds * INNER_SHARE**depth
        while not answer.done and heard.ago < patience:
            answer.wait(patience - heard.ago)
        if not answer.done:
            raise TookTooLong(told_where(hand.thread, seconds))
        self._free.append(hand)
        return answer.result()


def within(seconds: float, act: Callable[[], T]) -> T:
    """What `act` returns or raises, on a thread of its own. Raises TookTooLong once the time is over; the thread keeps
    the locks it holds."""
    hand = _Hand()
    answer = hand.give(act, 0)
    answer.wait(seconds)
    if not answer.done:
        raise TookTooLong(told_where(hand.thread, seconds))
    hand.end()
    return answer.result()


def told_where(thread: threading.Thread, seconds: float) -> str:
    """Words on where a thread is now."""
    frame = sys._current_frames().get(thread.ident or 0)
    where = "".join(traceback.format_stack(frame)) if frame else ""
    return f"It did not come back within {seconds:g} seconds. It was here:\n{where}"


class _Heard:
    """When somebody was last heard of."""

    def __init__(self) -> None:
        self._at = time.monotonic()

    @property
    def ago(self) -> float:
        """Seconds."""
        return time.monotonic() - self._at

    def now(self) -> None:
        self._at = time.monotonic()


class _Answer:
    """What becomes of one act."""

    def __init__(self, act: Callable[[], Any], depth: int) -> None:
        self.act = act
        self.depth = depth
        self._returned: Any = None
        self._raised: BaseException | None = None
        self._over = threading.Event()

    @property
    def done(self) -> bool:
        return self._over.is_set()

    def wait(self, seconds: float) -> None:
        self._over.wait(seconds)

    def find(self) -> None:
        _deep.level = self.depth
        try:
            self._returned = self.act()
        except BaseException as error:  # noqa: BLE001 - it is raised where somebody waits
            self._raised = error
        self._over.set()

    def result(self) -> Any:
        if self._raised is not None:
            raise self._raised
        return self._returned


class _Hand:
    """A thread that does one thing after the other."""

    def __init__(self) -> None:
        self._given: SimpleQueue[_Answer | None] = SimpleQueue()
        self.thread = threading.Thread(target=self._work, name="extension", daemon=True)
        self.thread.start()

    def give(self, act: Callable[[], Any], depth: int) -> _Answer:
        answer = _Answer(act, depth)
        self._given.put(answer)
        return answer

    def end(self) -> None:
        self._given.put(None)

    def _work(self) -> None:
        while (answer := self._given.get()) is not None:
            answer.find()
            answer = None  # what it holds alive is the asker's to keep


def _send(answer: Any, generator: Generator[Any, Any, Any]) -> Any:
    return generator.send(answer)


def _throw(error: Exception, generator: Generator[Any, Any, Any]) -> Any:
    return generator.throw(error)


def _with(passing: Sequence[Any], error: Exception) -> Sequence[Any]:
    """What is thrown in may come out again; a list that is shared stays the one that is read."""
    if isinstance(passing, list):
        passing.append(error)
        return passing
    return (*passing, error)
