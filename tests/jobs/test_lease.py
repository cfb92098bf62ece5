"""Pictures and a training share one device: neither waits for ever, and on a CPU nobody waits."""

from __future__ import annotations

import time
from pathlib import Path

from app.jobs.lease import DeviceLease
from tests.jobs.workplace import Workplace, request


class Clock:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def leased(clock: Clock) -> DeviceLease:
    """A lease whose training has the device."""
    lease = DeviceLease(lambda: False, patience=15, linger=5, turn=300, clock=clock)
    assert not lease.take()
    assert lease.due()
    lease.granted()
    assert lease.take()
    return lease


def test_where_both_can_run_at_once_nobody_waits() -> None:
    lease = DeviceLease(lambda: True)
    assert lease.take()
    assert lease.may_draw()
    assert not lease.due()
    assert not lease.wanted_back()


def test_a_picture_waits_for_its_patience_and_then_asks_for_the_device() -> None:
    clock = Clock()
    lease = leased(clock)
    assert not lease.may_draw()
    assert not lease.wanted_back()
    clock.now += 14
    assert not lease.may_draw()
    assert not lease.wanted_back()
    clock.now += 2
    assert lease.wanted_back()
    lease.give_back()
    assert lease.may_draw()


def test_a_training_gets_the_device_back_once_no_picture_is_wanted_for_a_while() -> None:
    clock = Clock()
    lease = leased(clock)
    lease.may_draw()
    lease.give_back()
    assert lease.may_draw()
    assert not lease.take()
    assert not lease.due()
    clock.now += 3
    lease.drawn()
    clock.now += 4
    assert not lease.due()
    clock.now += 2
    assert lease.due()
    lease.granted()
    assert lease.take()


def test_pictures_without_end_do_not_keep_a_training_out_for_ever() -> None:
    clock = Clock()
    lease = DeviceLease(lambda: False, turn=300, clock=clock)
    assert lease.may_draw()
    assert not lease.take()
    for _ in range(31):
        clock.now += 10
        lease.drawn()
    assert not lease.may_draw()
    assert lease.due()
    lease.granted()
    assert lease.take()


def test_a_device_that_no_training_wants_is_never_lent() -> None:
    lease = DeviceLease(lambda: False)
    assert not lease.due()
    assert lease.may_draw()
    assert not lease.wanted_back()


def test_the_worker_frees_the_device_for_a_training_and_draws_when_it_is_back(tmp_path: Path) -> None:
    lease = DeviceLease(lambda: False, patience=0.01, linger=0.0)
    place = Workplace(tmp_path, lease=lease)
    place.worker.start()
    try:
        assert place.jobs.wait(place.jobs.submit(request(), "ann").id, 30).state == "done"
        while not lease.take():
            place.worker.wake()
            time.sleep(0.001)
        assert place.engines[0].lent == 1
        id = place.jobs.submit(request(), "ann").id
        while not lease.wanted_back():
            time.sleep(0.001)
        assert place.jobs.get(id).state == "queued"
        lease.give_back()
        place.worker.wake()
        assert place.jobs.wait(id, 30).state == "done"
    finally:
        place.close()
