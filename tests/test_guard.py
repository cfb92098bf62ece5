"""What an extension does for a job fails that job alone, in words, and marks the extension; hanging is given up."""

from __future__ import annotations

import threading
from collections.abc import Generator
from typing import Any

import pytest

from app.guard import Guard
from app.schema.errors import ExtensionFailed, InvalidField

LONG = 60.0


@pytest.fixture
def marked() -> dict[str, str]:
    return {}


@pytest.fixture
def guard(marked: dict[str, str]) -> Guard:
    made = Guard(0.2, trusted={"built_in"})
    made.marked = marked.__setitem__
    return made


def raises(error: BaseException) -> Any:
    raise error


def test_what_comes_back_comes_back(guard: Guard, marked: dict[str, str]) -> None:
    assert guard.run("mine", "the thing", lambda: 7) == 7
    assert marked == {}


@pytest.mark.parametrize("error", [ValueError("no idea"), SystemExit("bye"), StopIteration("over")])
def test_what_raises_is_marked_and_told_in_words(guard: Guard, marked: dict[str, str], error: BaseException) -> None:
    with pytest.raises(ExtensionFailed, match=rf"The thing of the extension 'mine' failed: {type(error).__name__}"):
        guard.run("mine", "the thing", lambda: raises(error))
    assert f"{type(error).__name__}: {error}" in marked["mine"]
    assert guard.run("mine", "the thing", lambda: 7) == 7


def test_words_for_the_user_go_through_unmarked(guard: Guard, marked: dict[str, str]) -> None:
    with pytest.raises(InvalidField, match="width: too wide"):
        guard.run("mine", "the thing", lambda: raises(InvalidField("width: too wide.")))
    assert marked == {}


def test_what_hangs_is_given_up_and_not_asked_again(guard: Guard, marked: dict[str, str]) -> None:
    asked = []
    with pytest.raises(ExtensionFailed, match="did not come back in time"):
        guard.run("mine", "the thing", lambda: threading.Event().wait(LONG))
    assert "It was here" in marked["mine"]
    with pytest.raises(ExtensionFailed, match="hung before and is not asked again"):
        guard.run("mine", "the thing", lambda: asked.append(1))
    assert asked == []
    assert guard.run("other", "the thing", lambda: 7) == 7


def test_one_that_tells_how_far_it_is_has_not_hung(guard: Guard) -> None:
    told = []

    def slow(tell: Any) -> str:
        for done in range(4):
            threading.Event().wait(0.1)
            tell(done, 4)
        return "done"

    assert guard.run_telling("mine", "the thing", slow, lambda done, total: told.append(done)) == "done"
    assert told == [0, 1, 2, 3]


def test_what_the_asker_itself_raises_goes_through(guard: Guard, marked: dict[str, str]) -> None:
    class Cancelled(Exception): ...

    with pytest.raises(Cancelled):
        guard.run_telling("mine", "the thing", lambda tell: tell(1, 2), lambda done, total: raises(Cancelled()))
    assert marked == {}


def test_a_built_in_takes_its_time_on_the_callers_thread(guard: Guard) -> None:
    assert guard.run("built_in", "the thing", threading.get_ident, seconds=0) == threading.get_ident()


def adding() -> Generator[int, int, int]:
    total = 0
    try:
        while total < 10:
            total += yield total
    except KeyError:
        return -1
    return total


def test_a_generator_is_walked_as_it_is(guard: Guard) -> None:
    walked = guard.walk("mine", "the walk", adding)
    assert (next(walked), walked.send(4), walked.send(5)) == (0, 4, 9)
    with pytest.raises(StopIteration) as ended:
        walked.send(6)
    assert ended.value.value == 15


def test_what_is_thrown_in_may_be_caught_or_come_out_again(guard: Guard, marked: dict[str, str]) -> None:
    caught = guard.walk("mine", "the walk", adding)
    next(caught)
    with pytest.raises(StopIteration) as ended:
        caught.throw(KeyError())
    assert ended.value.value == -1
    passed = guard.walk("mine", "the walk", adding)
    next(passed)
    with pytest.raises(LookupError, match="skip"):
        passed.throw(LookupError("skip"))
    assert marked == {}


def test_a_closed_generator_is_closed_inside(guard: Guard) -> None:
    closed = []

    def held() -> Generator[int, int, int]:
        try:
            yield 1
        finally:
            closed.append(True)
        return 0

    walked = guard.walk("mine", "the walk", held)
    next(walked)
    walked.close()
    assert closed == [True]


def test_a_generator_that_hangs_in_a_step_is_given_up(guard: Guard, marked: dict[str, str]) -> None:
    def hangs() -> Generator[int, int, int]:
        yield 1
        threading.Event().wait(LONG)
        return 0

    walked = guard.walk("mine", "the walk", hangs)
    next(walked)
    with pytest.raises(ExtensionFailed, match="the extension 'mine' failed: it did not come back"):
        walked.send(1)
    assert list(marked) == ["mine"]


def test_of_one_inside_another_the_one_that_hangs_is_marked(guard: Guard, marked: dict[str, str]) -> None:
    def outer() -> int:
        return guard.run("inner", "the thing", lambda: threading.Event().wait(LONG))

    with pytest.raises(ExtensionFailed, match="'inner'"):
        guard.run("outer", "the thing", outer)
    assert list(marked) == ["inner"]
